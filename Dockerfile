# docker build -t ollama-proxy .
# docker run -p 11434:11434 --env-file .env -v ollama-proxy:/var/lib/ollama-proxy ollama-proxy
#
# HOST is 0.0.0.0 inside the image: a container's loopback is not reachable through a published port. Callers are then not
# on loopback, so they need a key; where none is configured, one is made at the first start and printed in the log once.
# To serve this machine only, publish the port on its loopback: -p 127.0.0.1:11434:11434.
# Own settings: -v ./proxy.toml:/app/proxy.toml:ro. Draining may take a while: docker stop -t 60.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
RUN python -m venv /venv
COPY requirements.lock /
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /requirements.lock \
    && /venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:${PYTHON_VERSION}-slim-bookworm
LABEL org.opencontainers.image.title="Ollama Proxy" org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin proxy \
    && install -d -o proxy -g proxy /var/lib/ollama-proxy
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN /venv/bin/python -m compileall -q .
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=11434 \
    DATA_DIR=/var/lib/ollama-proxy
USER 10001:10001
VOLUME ["/var/lib/ollama-proxy"]
EXPOSE 11434
STOPSIGNAL SIGTERM
# Asked without any HTTP proxy that the environment may name; an answer of 400 or more counts as ill.
HEALTHCHECK --interval=15s --timeout=4s --start-period=15s --retries=3 CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=3)"]
CMD ["python", "app.py"]
