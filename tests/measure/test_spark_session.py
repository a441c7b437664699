"""How a session of Spark is configured and what it is asked, by a stand-in for pyspark: the real one is in the soak
tests."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gslb import measure
from gslb.errors import GslbError
from gslb.model import records

COLUMNS = {"at": records.TIME, "name": records.TEXT, "count": records.WHOLE, "share": records.REAL}


class StandIn:
    """What was asked of Spark."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.given: dict[str, str] = {}
        self.asked: list[str] = []
        self.analyzed: list[str] = []
        self.refuses = ""
        self.stopped = False

    def modules(self) -> dict[str, ModuleType]:
        spark = self

        class Conf:
            def __init__(self) -> None:
                self.found = dict(spark.given)

            def get(self, name: str, default: Any) -> Any:
                return self.found.get(name, default)

            def set(self, name: str, value: str) -> None:
                self.found[name] = value

            def setIfMissing(self, name: str, value: str) -> None:  # noqa: N802  as pyspark has it
                self.found.setdefault(name, value)

            def setMaster(self, value: str) -> None:  # noqa: N802  as pyspark has it
                self.found["spark.master"] = value

        class Builder:
            def config(self, conf: Conf) -> Builder:
                spark.conf = conf.found
                return self

            def getOrCreate(self) -> Any:  # noqa: N802  as pyspark has it
                if spark.refuses:
                    raise RuntimeError(spark.refuses)
                return Session()

        class Session:
            builder = Builder()
            catalog = SimpleNamespace(dropTempView=lambda name: spark.asked.append(f"drop {name}"))
            sparkContext = SimpleNamespace(applicationId="app-1", master="local-cluster[2,1,1024]")  # noqa: N815  as pyspark has it

            @property
            def read(self) -> Any:
                return Reader()

            def sql(self, sql: str) -> Any:
                spark.analyzed.append(sql)
                return Frame(sql)

            def stop(self) -> None:
                spark.stopped = True
                if spark.refuses:
                    raise Refused(spark.refuses)

        class Reader:
            told = "inferred"

            def schema(self, schema: str) -> Reader:
                self.told = schema
                return self

            def parquet(self, *paths: str) -> Frame:
                return Frame(f"read {self.told}: {' '.join(paths)}")

        class Frame:
            schema = "as made"

            def __init__(self, sql: str) -> None:
                self.sql = sql
                self.write = SimpleNamespace(parquet=lambda path: spark.asked.append(f"write {path}: {sql}"))

            def selectExpr(self, *casts: str) -> Frame:  # noqa: N802  as pyspark has it
                return Frame(f"{self.sql}; {', '.join(casts)}")

            def createOrReplaceTempView(self, name: str) -> None:  # noqa: N802  as pyspark has it
                spark.asked.append(f"view {name}: {self.sql}")

            @property
            def _jdf(self) -> Any:
                plan = SimpleNamespace(toString=lambda: f"plan of {self.sql}")
                return SimpleNamespace(queryExecution=lambda: SimpleNamespace(executedPlan=lambda: plan))

            def collect(self) -> list[tuple[str, int]]:
                return [(self.sql, 1)]

        class Refused(Exception):
            pass

        def module(name: str, **found: Any) -> ModuleType:
            made = ModuleType(name)
            made.__dict__.update(found, __file__=str(spark.home / "__init__.py"))
            return made

        context = SimpleNamespace(_ensure_initialized=lambda: self.asked.append("initialized"))
        return {
            "pyspark": module("pyspark", SparkConf=Conf, SparkContext=context),
            "pyspark.errors": module("pyspark.errors", PySparkException=Refused),
            "pyspark.sql": module("pyspark.sql", SparkSession=Session),
            "py4j": module("py4j"),
            "py4j.protocol": module("py4j.protocol", Py4JError=type("Py4JError", (Exception,), {})),
        }

    conf: dict[str, str]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    home = tmp_path / "pyspark"
    for each in ("jars", "work"):
        (home / each).mkdir(parents=True)
    found = StandIn(home)
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("PYSPARK_GATEWAY_PORT", "GSLB_SPARK_MASTER", "SPARK_HOME", "SPARK_LOCAL_IP", "SPARK_WORKER_DIR",
                 "SPARK_LOCAL_DIRS", "SPARK_CONF_DIR", "JAVA_HOME"):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    forget()
    jvm = tmp_path / "jvm/java-17-a"
    (jvm / "bin").mkdir(parents=True)
    (jvm / "bin/java").touch()
    yield found
    forget()


def forget() -> None:
    """Have it imported anew."""
    sys.modules.pop("gslb.measure.spark", None)
    measure.__dict__.pop("spark", None)


Opens = Callable[[], Any]


@pytest.fixture
def opens(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opens:
    def opened() -> Any:
        module = importlib.import_module("gslb.measure.spark")
        monkeypatch.setattr(module, "_JVMS", tmp_path / "jvm")
        return module.Spark(tmp_path, lambda session: ("ibis", session))

    return opened


def test_a_session_of_its_own(stand_in: StandIn, opens: Opens, tmp_path: Path) -> None:
    opens()
    assert stand_in.asked == []
    expected = {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.maxResultSize": "8m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(tmp_path / "warehouse"),
    }
    assert {name: stand_in.conf.get(name) for name in expected} == expected
    home = Path(os.environ["SPARK_HOME"])
    assert {each.name: each.resolve() for each in home.iterdir()} == {"jars": tmp_path / "pyspark/jars"}
    opens()
    assert os.environ["SPARK_HOME"] == str(home)
    assert os.environ["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert os.environ["SPARK_LOCAL_DIRS"] == str(tmp_path / "local")
    assert os.environ["JAVA_HOME"] == str(tmp_path / "jvm/java-17-a")
    assert "rootLogger.level = error" in (Path(os.environ["SPARK_CONF_DIR"]) / "log4j2.properties").read_text()


def test_a_session_elsewhere(stand_in: StandIn, opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSLB_SPARK_MASTER", "spark://master:7077")
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    monkeypatch.setenv("SPARK_CONF_DIR", "/etc/spark")
    opens()
    assert stand_in.conf["spark.master"] == "spark://master:7077"
    assert "spark.driver.bindAddress" not in stand_in.conf
    assert "SPARK_LOCAL_IP" not in os.environ
    assert (os.environ["JAVA_HOME"], os.environ["SPARK_CONF_DIR"]) == ("/opt/java", "/etc/spark")


def test_under_spark_submit_its_configuration_counts(
    stand_in: StandIn, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    monkeypatch.setenv("GSLB_SPARK_MASTER", "local[1]")
    stand_in.given = {
        "spark.master": "yarn",
        "spark.driver.maxResultSize": "1g",
        "spark.sql.shuffle.partitions": "2000",
        "spark.sql.session.timeZone": "Europe/Berlin",
    }
    opens()
    assert stand_in.asked == ["initialized"]
    assert stand_in.conf["spark.master"] == "yarn"
    assert stand_in.conf["spark.driver.maxResultSize"] == "1g"
    assert stand_in.conf["spark.sql.shuffle.partitions"] == "2000"
    assert stand_in.conf["spark.sql.session.timeZone"] == "UTC"
    assert "spark.driver.host" not in stand_in.conf


def test_what_hinders_it_is_told(
    stand_in: StandIn, opens: Opens, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in.refuses = "no such\n  master"
    with pytest.raises(GslbError, match=r"Spark does not start at local-cluster\[2,1,1024\]: no such master"):
        opens()
    (tmp_path / "jvm/java-17-a/bin/java").unlink()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.delenv("SPARK_CONF_DIR")
    (tmp_path / "conf/log4j2.properties").unlink()
    (tmp_path / "conf").rmdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GslbError, match="Spark needs Java 17 or 21"):
        opens()


def test_what_it_is_asked(stand_in: StandIn, opens: Opens, tmp_path: Path) -> None:
    found = opens()
    assert found.backend[0] == "ibis"
    casts = (
        "CAST(`at` AS TIMESTAMP) AS `at`, CAST(`name` AS STRING) AS `name`, CAST(`count` AS BIGINT) AS `count`,"
        " CAST(`share` AS DOUBLE) AS `share`"
    )
    found.view("read_1", [Path("/a"), Path("/b")], COLUMNS, exact=True)
    found.view("read_2", [Path("/a")], COLUMNS, exact=False)
    assert stand_in.asked == [
        f"view read_1: read `at` TIMESTAMP, `name` STRING, `count` BIGINT, `share` DOUBLE: /a /b; {casts}",
        f"view read_2: read inferred: /a; {casts}",
    ]
    stand_in.asked.clear()
    first, second = (tmp_path / f"kept_3-{number}" for number in (1, 2))
    first.mkdir()
    found.keep("kept_3", "SELECT 0")
    assert first.exists()
    second.mkdir()
    found.keep("kept_3", "SELECT 1")
    assert (first.exists(), second.exists()) == (False, True), "another one in its place, made of it perhaps"
    found.drop("kept_3")
    assert not second.exists()
    found.write("SELECT 2", Path("/out"))
    assert stand_in.asked == [
        f"write {first}: SELECT 0",
        f"view kept_3: read as made: {first}",
        f"write {second}: SELECT 1",
        f"view kept_3: read as made: {second}",
        "drop kept_3",
        "write /out: SELECT 2",
    ]
    assert found.rows("SELECT 3") == [("SELECT 3", 1)]
    assert found.explain("SELECT 4") == "plan of SELECT 4"
    assert found.rows("SELECT 4") == [("SELECT 4", 1)]
    assert stand_in.analyzed == ["SELECT 0", "SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4"]
    for folder in ("app-1", "app-2"):
        Path(os.environ["SPARK_HOME"], "work", folder).mkdir(parents=True)
    found.close()
    assert stand_in.stopped
    assert [path.name for path in Path(os.environ["SPARK_HOME"], "work").iterdir()] == ["app-2"]
    stand_in.refuses = "already gone"
    found.close()


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    forget()
    with pytest.raises(GslbError, match=r"install gslb\[spark\]"):
        importlib.import_module("gslb.measure.spark")
