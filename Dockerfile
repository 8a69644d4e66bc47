# Two images from one file, both for a normal user without a root process:
#
#   docker build --target training -t pairstream-training .
#   docker build --target serving  -t pairstream-serving .
#
# Without a daemon: scripts/build-image.sh. Packages come from the hashed locks.
# Debian 12's own Python is 3.11, the version that Pairstream is for.

FROM docker.io/library/debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 pairstream
ENV PATH=/opt/pairstream/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TF_CPP_MIN_LOG_LEVEL=2


# The environments are made in stages of their own, so that pip, its cache and the
# build settings of a site stay out of the images.
FROM base AS packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pairstream

FROM packages AS training-packages
COPY requirements-training.lock .
RUN pip install --no-cache-dir --no-compile --require-hashes \
    -r requirements-training.lock

FROM packages AS serving-packages
COPY requirements-serving.lock .
RUN pip install --no-cache-dir --no-compile --require-hashes \
    -r requirements-serving.lock


# Preprocessing, training and export: `... preprocessing run job.yaml`.
FROM base AS training
COPY --from=training-packages /opt/pairstream /opt/pairstream
COPY configs /app/configs
COPY preprocessing /app/preprocessing
COPY trainer /app/trainer
COPY serving /app/serving
USER pairstream
WORKDIR /home/pairstream
ENTRYPOINT ["python", "-m"]
CMD ["trainer", "--help"]


# The server alone: `... serve /models --name NAME --host 0.0.0.0`.
FROM base AS serving
COPY --from=serving-packages /opt/pairstream /opt/pairstream
COPY configs /app/configs
COPY serving /app/serving
USER pairstream
WORKDIR /home/pairstream
EXPOSE 8501
ENTRYPOINT ["python", "-m", "serving"]
CMD ["--help"]
