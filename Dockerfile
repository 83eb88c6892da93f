# The gateway in an image of its own: one static binary and the certificate
# authorities, no shell, no package manager, not root.
#
#   docker build -t belfry .
#   docker run -p 6003:6003 -v belfry:/data belfry
#
# Options go in as environment (BELFRY_…) or as arguments behind "serve";
# belfry.yaml has them all. There is no HEALTHCHECK, since nothing in the image
# could run one: let the orchestrator ask /readyz on the public port.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/belfry ./cmd/belfry
# Made here, because scratch has no mkdir: a new volume takes over its owner.
RUN mkdir /out/data

FROM scratch
# For tls:// to an external NATS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/belfry /belfry
COPY --from=build --chown=65532:65532 /out/data /data
# A number: Kubernetes' runAsNonRoot can't judge a name.
USER 65532:65532
# In a container loopback is nobody's: the public port listens on all addresses.
# The internal port and the embedded NATS stay on the container's own loopback.
ENV BELFRY_PUBLIC_LISTEN=0.0.0.0:6003 \
    BELFRY_DATA=/data
VOLUME /data
EXPOSE 6003
# SIGTERM, the default, drains: give it more time than drain_delay and drain
# take together (35 s by default; docker stop -t 50).
ENTRYPOINT ["/belfry"]
CMD ["serve"]
