# syntax=docker/dockerfile:1
# The one image of the distributed mode: every Airflow component, every worker, Flower, the set-up and the figures.
#
#   docker build -t trading-ops .                                       for workers with processors
#   docker build -t trading-ops:gpu --build-arg LOCK=requirements-gpu.lock .     with CUDA, in the same TensorFlow
#
# Airflow's own image gives the operating system, the user (airflow, 50000) and the entrypoint. Its Python packages are not
# used: those of the lock stand in an environment of their own, exactly as they were tested, and nothing beside them.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
# The server of docker-compose.yaml: its own pg_dump and pg_restore make the backups.
ARG POSTGRES_IMAGE=postgres:16.6

FROM ${POSTGRES_IMAGE} AS postgres

FROM ${AIRFLOW_IMAGE} AS packages
ARG LOCK=requirements.lock
USER 0:0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN python -m venv /opt/trading-ops/venv
COPY ${LOCK} /tmp/requirements.lock
# --no-deps: the lock names every package; with hashes pip would refuse those that others want with extras.
# PIP_USER: Airflow's image installs into the user's home unless told otherwise.
RUN PIP_USER=false /opt/trading-ops/venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
    --disable-pip-version-check -r /tmp/requirements.lock
USER 50000:0

FROM ${AIRFLOW_IMAGE}
ARG LOCK=requirements.lock
LABEL org.opencontainers.image.title="trading-ops" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.description="Operations of a crypto trading bot as an Apache Airflow DAG bundle" \
    trading-ops.lock="${LOCK}"

USER 0:0
COPY --from=packages /opt/trading-ops/venv /opt/trading-ops/venv
# Debian's own (15) are older than the server and refuse it; the newest, which Airflow's image brings along, write dumps
# that the server cannot take back. The libraries that they are linked against are those of Airflow's image.
COPY --from=postgres /usr/lib/postgresql/16/bin/pg_dump /usr/lib/postgresql/16/bin/pg_restore /opt/trading-ops/postgres/
# Owned by root and read-only for everybody: the code of a running container never changes.
COPY --chmod=0555 airflow.cfg .airflowignore LICENSE /opt/trading-ops/bundle/
COPY --chmod=0555 config /opt/trading-ops/bundle/config
COPY --chmod=0555 ops /opt/trading-ops/bundle/ops
COPY --chmod=0555 include /opt/trading-ops/bundle/include
COPY --chmod=0555 plugins /opt/trading-ops/bundle/plugins
COPY --chmod=0555 dags /opt/trading-ops/bundle/dags
# Compiled now, because nobody may write there later; and the folders that volumes are mounted on, so that a new
# volume belongs to the user who writes to it.
RUN /opt/trading-ops/venv/bin/python -m compileall -q /opt/trading-ops/bundle \
    && /opt/trading-ops/postgres/pg_dump --version && /opt/trading-ops/postgres/pg_restore --version \
    && install -d -o airflow -g root -m 0770 /var/lib/trading-ops /opt/airflow/logs /backups

ENV PATH=/opt/trading-ops/venv/bin:/opt/trading-ops/postgres:$PATH \
    PIP_USER=false \
    PYTHONPATH=/opt/trading-ops/bundle \
    PYTHONUNBUFFERED=1 \
    TRADING_OPS_ROOT=/opt/trading-ops/bundle \
    TRADING_OPS_STATE_DIR=/var/lib/trading-ops \
    AIRFLOW_CONFIG=/opt/trading-ops/bundle/airflow.cfg
WORKDIR /opt/trading-ops/bundle
USER 50000:0
# Signals reach what runs, and nothing dead stays behind. (Airflow's own entrypoint would wait for databases: Compose
# knows when those are healthy.)
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
# Each role is healthy in its own way: docker-compose.yaml says how, per service.
HEALTHCHECK NONE
