"""Spark as an engine: SQL on a cluster, where a day no longer fits one machine.

Rows stay on executors: they read Parquet, keep results as Parquet and write it. The driver sees plans, names of files
and the few rows that are fetched, by a limit of its own. The only importer of pyspark, which the extra ``[spark]``
brings; to import this without it is a `GslbError`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gslb.errors import GslbError
from gslb.measure.runner import TRUTH
from gslb.model import records

try:
    import pyspark
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
except ImportError:
    raise GslbError("measuring on Spark needs pyspark: install gslb[spark]") from None

MASTER: Final = "local-cluster[2,1,1024]"
"""Where nothing else is said: two executors of a core and 1 GiB each, processes of this machine."""

_RULES: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.pyspark.enabled": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.catalogImplementation": "in-memory",
}
"""What tables come out by: it holds whatever else was configured."""
_HABITS: Final = {
    "spark.app.name": "gslb measure",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.maxResultSize": "8m",
    # A table that is broadcast goes through the driver; its rows are several times as large as its file.
    "spark.sql.autoBroadcastJoinThreshold": "512k",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "512k",
    "spark.sql.shuffle.partitions": "32",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "32m",
    "spark.sql.analyzer.maxIterations": "1000",  # what Ibis writes may be deep
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",  # many files are listed without a job
}
"""What a configuration of ``spark-submit`` goes before."""
_HERE: Final = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
"""What goes for executors on this machine."""


_TYPES: Final[Mapping[str, str]] = {
    records.TIME: "TIMESTAMP",
    records.TEXT: "STRING",
    records.WHOLE: "BIGINT",
    records.REAL: "DOUBLE",
    TRUTH: "BOOLEAN",
}


class Spark:
    """A session, and where it keeps tables: ``own`` is a folder that executors see too.

    Under ``spark-submit`` it goes by that one's configuration; elsewhere the master is ``GSLB_SPARK_MASTER``, or
    `MASTER`. ``connect`` makes Ibis' connection of a session.
    """

    errors: tuple[type[Exception], ...] = (PySparkException, Py4JError)
    quote = "`"
    types = _TYPES
    others: tuple[Spark, ...] = ()
    """A cluster has work enough of one statement."""

    def __init__(self, own: Path, connect: Callable[[Any], Any]) -> None:
        self._own = own
        logging.getLogger("SQLQueryContextLogger").disabled = True  # what fails is told by who asked
        self._session = _session(own)
        context = self._session.sparkContext
        self._application = context.applicationId if str(context.master).startswith("local-cluster") else ""
        self._planned: tuple[str, Any] = ("", None)
        self._kept: dict[str, Path] = {}
        self._numbers = itertools.count(1)
        self.backend = connect(self._session)

    def view(self, name: str, files: Sequence[Path], columns: records.Columns, exact: bool) -> None:
        """Name the rows of files. Where they are not ``exact``ly of these types, Spark looks at one of them first."""
        reader = self._session.read
        if exact:
            reader = reader.schema(", ".join(f"`{each}` {self.types[kind]}" for each, kind in columns.items()))
        found = reader.parquet(*map(str, files))
        casts = [f"CAST(`{each}` AS {self.types[kind]}) AS `{each}`" for each, kind in columns.items()]
        found.selectExpr(*casts).createOrReplaceTempView(name)

    def keep(self, name: str, sql: str) -> None:
        """Compute a table, as Parquet that executors write."""
        folder = self._own / f"{name}-{next(self._numbers)}"
        made = self._made(sql)
        made.write.parquet(str(folder))
        former = self._kept.get(name)
        self._kept[name] = folder
        self._session.read.schema(made.schema).parquet(str(folder)).createOrReplaceTempView(name)
        if former is not None:
            self._planned = ("", None)  # it may have read that
            shutil.rmtree(former, ignore_errors=True)

    def drop(self, name: str) -> None:
        """Forget a table that was kept."""
        self._session.catalog.dropTempView(name)
        if (folder := self._kept.pop(name, None)) is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, sql: str, folder: Path) -> None:
        """Compute a table as Parquet files in a new folder: executors write them."""
        self._made(sql).write.parquet(str(folder))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small table; more than ``spark.driver.maxResultSize`` are refused."""
        return [tuple(row) for row in self._made(sql).collect()]

    def explain(self, sql: str) -> str:
        """The physical plan as it is before adaptive changes, which add no kind of join but by broadcast."""
        return str(self._made(sql)._jdf.queryExecution().executedPlan().toString())

    def close(self) -> None:
        """End the session, and with it all of this process; its executors end."""
        with contextlib.suppress(*self.errors):
            self._session.stop()
        if self._application:  # what its executors said lies here
            shutil.rmtree(Path(os.environ[_HOME], _WORK, self._application), ignore_errors=True)

    def _made(self, sql: str) -> Any:
        """The table, not computed yet. What was explained just now is not analyzed again: that takes Spark seconds."""
        if self._planned[0] != sql:
            self._planned = sql, self._session.sql(sql)
        return self._planned[1]


def _session(own: Path) -> Any:
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if submitted:
        SparkContext._ensure_initialized()  # so that the configuration of spark-submit is seen
    conf = SparkConf()
    master = conf.get("spark.master", None) if submitted else os.environ.get("GSLB_SPARK_MASTER", MASTER)
    here = str(master).startswith("local")
    for name, value in _RULES.items():
        conf.set(name, value)
    habits = {**_HABITS, "spark.sql.warehouse.dir": str(own / "warehouse"), **(_HERE if here else {})}
    for name, value in habits.items():
        conf.setIfMissing(name, value)
    if not submitted:
        conf.setMaster(str(master))
        _surroundings(own, here)
    try:
        return SparkSession.builder.config(conf=conf).getOrCreate()
    except Exception as error:  # Spark says what is wrong in many ways
        raise GslbError(f"Spark does not start at {master}: {' '.join(str(error).split())[:500]}") from error


def _surroundings(own: Path, here: bool) -> None:
    """What the processes of Spark take from the environment, unless it says so already."""
    if here:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["SPARK_LOCAL_DIRS"] = str(own / "local")
        os.environ[_HOME] = str(_home())
    if "SPARK_CONF_DIR" not in os.environ:
        (own / "conf").mkdir()
        (own / "conf/log4j2.properties").write_text(_LOG4J, encoding="ascii")
        os.environ["SPARK_CONF_DIR"] = str(own / "conf")
    if "JAVA_HOME" not in os.environ:
        for found in sorted(_JVMS.glob("*")) if _JVMS.is_dir() else ():
            if any(each in found.name for each in ("-17", "-21")) and (found / "bin/java").exists():
                os.environ["JAVA_HOME"] = str(found)
                break
        else:
            if shutil.which("java") is None:
                raise GslbError("Spark needs Java 17 or 21: install a runtime, or say where it is in JAVA_HOME")


@functools.cache
def _home() -> Path:
    """A folder that has all of Spark's own, as links: workers of this machine write to ``work`` in it, and Spark may
    lie where nobody but root writes. It is the process's, as Java is, which outlives a session."""
    home = Path(os.environ.get(_HOME) or Path(pyspark.__file__).parent)
    own = Path(tempfile.mkdtemp(prefix="gslb-spark-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    for each in home.iterdir():
        if each.name != _WORK:
            (own / each.name).symlink_to(each)
    return own


_HOME: Final = "SPARK_HOME"
_WORK: Final = "work"
_LOG4J: Final = """\
rootLogger.level = error
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %p %c{1}: %m%n
"""
_JVMS: Final = Path("/usr/lib/jvm")
