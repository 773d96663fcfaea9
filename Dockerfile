# The server in a container, for clients that start it with: docker run -i --rm phone-number-mcp
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY constraints.txt ./
RUN python -m pip install --constraint constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY server server
# What Python would compile at each start, and could not keep, is compiled here; by hash, for times may change in a copy.
RUN python -m pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
    && python -m venv --without-pip /opt/phone-number-mcp \
    && python -m pip --python /opt/phone-number-mcp/bin/python install --no-compile --constraint constraints.txt dist/*.whl \
    && /opt/phone-number-mcp/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/phone-number-mcp/lib

FROM python:${PYTHON}-slim
LABEL io.modelcontextprotocol.server.name="io.github.phone-number-mcp/phone-number-mcp" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="https://github.com/phone-number-mcp/phone-number-mcp"
COPY --from=build /opt/phone-number-mcp /opt/phone-number-mcp
# The image comes without its standard library compiled.
RUN python -m compileall -q /usr/local/lib/python3.* \
    && install -d -m 0700 -o 10001 -g 10001 /state
# The journal of writes is in the volume; the sandbox, whose writes are not real, keeps its own in memory.
ENV PATH=/opt/phone-number-mcp/bin:$PATH HOME=/state XDG_STATE_HOME=/state PYTHONDONTWRITEBYTECODE=1
VOLUME /state
USER 10001:10001
ENTRYPOINT ["phone-number-mcp"]
