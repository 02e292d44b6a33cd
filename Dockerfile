FROM python:3.13-slim

RUN useradd --create-home --uid 10001 saga && mkdir /data && chown saga /data
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY contracts contracts
COPY events events
COPY saga saga
COPY services services
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .
USER saga
VOLUME /data
CMD ["saga", "--help"]
