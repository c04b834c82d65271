# One image for all controllers; a Deployment chooses with its command.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /app
WORKDIR /src
# The locked packages first: this layer changes only when they do.
COPY requirements.lock ./
RUN pip --python /app/bin/python install --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY controllers controllers
COPY cli cli
RUN pip --python /app/bin/python install --no-deps . && python -m compileall -q /app/lib

FROM python:3.12-slim
# Nothing is installed in a running container.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip*
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65534:65534
WORKDIR /
EXPOSE 9443 8000
ENTRYPOINT ["python", "-m", "controllers.admission"]
