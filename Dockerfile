FROM python:3.13-slim AS build

WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY contracts contracts
COPY events events
COPY saga saga
COPY services services
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.13-slim

RUN useradd --create-home --uid 10001 saga && mkdir /data && chown saga /data
COPY requirements-runtime.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-runtime.lock
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps /wheels/*.whl && rm -r /wheels
USER saga
WORKDIR /home/saga
VOLUME /data
CMD ["saga", "--help"]
