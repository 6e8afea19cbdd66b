# The proxy alone, for an Elasticsearch and providers that run elsewhere; docker-compose.yml has all.
#
#   docker build -t hugging-face-proxy .
#   docker run -p 127.0.0.1:9201:9201 -v hugging-face-proxy:/var/lib/hugging-face-proxy \
#     -e ELASTICSEARCH_URL=http://elasticsearch.example:9200 hugging-face-proxy

# Whoever builds for production pins the base image: --build-arg PYTHON=python:3.13-slim@sha256:…
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /build
RUN python -m venv /venv
# Dependencies change seldom: a layer of their own. Nothing is installed whose hash is not known.
COPY requirements.lock ./
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: --requirement requirements.lock
COPY LICENSE README.md pyproject.toml setup.cfg ./
COPY proxy proxy
COPY release release
# From here on nothing is fetched. What built the package does not go into the image.
RUN /venv/bin/pip install --no-index --no-deps --no-build-isolation . \
    && /venv/bin/pip check \
    && /venv/bin/pip uninstall --yes --quiet setuptools pip \
    && python -m release.sbom /venv/lib/python3.13/site-packages > /venv/sbom.cdx.json

FROM ${PYTHON}
# The key of a generated store, and SQLite's file: $XDG_STATE_HOME/hugging-face-proxy. Nothing else
# is written, so the root file system may be read-only.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent proxy \
    && install -d -m 0700 -o proxy /var/lib/hugging-face-proxy
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    XDG_STATE_HOME=/var/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /var/lib/hugging-face-proxy
EXPOSE 9201
# The event loop answers, on the admin listener: that is not reachable from outside.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9280, timeout=3); \
    c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "proxy"]
CMD ["serve", "--listen", "0.0.0.0:9201"]
