# The proxy alone, for an Elasticsearch and providers that run elsewhere; docker-compose.yml has all.
#
#   docker build -t hugging-face-proxy .
#   docker run -p 127.0.0.1:9201:9201 -v hugging-face-proxy:/var/lib/hugging-face-proxy \
#     -e ELASTICSEARCH_URL=http://elasticsearch.example:9200 hugging-face-proxy

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /venv
# Dependencies change seldom: a layer of their own, from the metadata and an empty package.
COPY LICENSE README.md constraints.txt pyproject.toml setup.cfg ./
RUN mkdir proxy && touch proxy/__init__.py \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && /venv/bin/pip uninstall --yes --quiet elasticsearch-hugging-face-proxy
COPY proxy proxy
RUN rm -rf build *.egg-info \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /venv/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim
# The key of a generated store, and SQLite's file: $XDG_STATE_HOME/hugging-face-proxy. Nothing else
# is written, so the root file system may be read-only.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent proxy \
    && install -d -m 0700 -o proxy /var/lib/hugging-face-proxy
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    XDG_STATE_HOME=/var/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER proxy
VOLUME /var/lib/hugging-face-proxy
EXPOSE 9201
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 9201), 3)"]
ENTRYPOINT ["python", "-m", "proxy"]
CMD ["serve", "--listen", "0.0.0.0:9201"]
