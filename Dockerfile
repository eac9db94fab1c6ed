# syntax=docker/dockerfile:1
#
# One build, one small image per program:
#
#   docker build --target api -t writeback-api .
#   docker build --target worker -t writeback-worker .
#   docker build --target cli -t writeback-cli .        (doctor and the rest)
#   docker build --target sandbox -t writeback-sandbox .
#   docker build --target dev -t writeback-dev .        (whole stack, keeps nothing)
#
# The images have no shell and no HTTP client, so there is no HEALTHCHECK here:
# ask GET /healthz and GET /readyz on the admin port (8081) from outside, as the
# Kubernetes probes of the chart do.

FROM golang:1.26.8-alpine AS build
# git, so that the programs know which commit they were built from.
RUN apk add --no-cache git
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    set -e; for p in api worker writeback sandbox dev; do \
      CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/$p ./cmd/$p; \
    done

FROM gcr.io/distroless/static-debian12:nonroot AS base
ARG VERSION=dev
LABEL org.opencontainers.image.title="writeback" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 65532:65532

FROM base AS sandbox
COPY --from=build /out/sandbox /sandbox
EXPOSE 8090
ENTRYPOINT ["/sandbox"]

FROM base AS dev
COPY --from=build /out/dev /dev-stack
EXPOSE 8080 8081 8090
ENTRYPOINT ["/dev-stack"]
CMD ["--api-addr", "0.0.0.0:8080", "--admin-addr", "0.0.0.0:8081", "--sandbox-addr", "0.0.0.0:8090"]

# The operator's command: docker run --rm writeback-cli doctor
FROM base AS cli
COPY --from=build /out/writeback /writeback
ENTRYPOINT ["/writeback"]

FROM base AS worker
COPY --from=build /out/worker /worker
EXPOSE 8081
ENTRYPOINT ["/worker"]

# Last, so that a build without --target gives the api.
FROM base AS api
COPY --from=build /out/api /api
EXPOSE 8080 8081
ENTRYPOINT ["/api"]
