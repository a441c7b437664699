# Two stages: the first, which has a C compiler, makes a virtual environment; the second holds it and nothing else.
# Every instruction is in exec form, so neither stage needs a shell.
FROM python:3.11-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gslb gslb
RUN ["python", "-m", "venv", "/opt/gslb"]
RUN ["/opt/gslb/bin/python", "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", "/wheels", ".[log]"]
RUN ["/opt/gslb/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--find-links", "/wheels", "gslb[log]"]
RUN ["/opt/gslb/bin/gslb", "--version"]
RUN ["/opt/gslb/bin/python", "-I", "-c", "import gslb.server.native"]
RUN ["mkdir", "-p", "/var/lib/gslb"]

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="gslb" \
      org.opencontainers.image.description="Authoritative DNS server that steers live-stream viewers to the best edge" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gslb /opt/gslb
COPY --from=build --chown=65532:65532 /var/lib/gslb /var/lib/gslb
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
# The root may be read-only: only the state is written. zones/ and data/ are mounted, read-only too.
VOLUME ["/etc/gslb", "/var/lib/gslb"]
EXPOSE 5300/udp 5300/tcp 8053/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/opt/gslb/bin/gslb", "status", "--live"]
ENTRYPOINT ["/opt/gslb/bin/gslb"]
CMD ["serve", "--zones", "/etc/gslb/zones", "--data", "/etc/gslb/data", "--state", "/var/lib/gslb", "--listen", "0.0.0.0:5300", "--listen", "[::]:5300"]
