#!/usr/bin/env bash
# Drain this Ray node on a spot interruption notice, so that training saves a checkpoint and moves.
#
#   drain-on-notice aws      # or gcp; clusters/aws.yaml and gcp.yaml start it on every worker
#
# To change: nothing. METADATA overrides the URL of the instance metadata service.
set -euo pipefail

cloud=${1:?aws or gcp}

noticed() {
  local token
  case $cloud in
    aws)
      token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
        "${METADATA:-http://169.254.169.254}/latest/api/token") &&
        curl -sf -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" \
          "${METADATA:-http://169.254.169.254}/latest/meta-data/spot/instance-action"
      ;;
    gcp)
      [ "$(curl -sf -m 2 -H 'Metadata-Flavor: Google' \
        "${METADATA:-http://metadata.google.internal}/computeMetadata/v1/instance/preempted")" = TRUE ]
      ;;
    *)
      echo "drain-on-notice: found '$cloud', expected aws or gcp" >&2
      exit 2
      ;;
  esac
}

# what remains of the notice (120 s, 30 s) after polling and reporting to Ray
case $cloud in
  aws) deadline=100 ;;
  *) deadline=20 ;;
esac
until noticed; do
  sleep 2
done
# a busy head may not answer at once
until ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "spot interruption notice from $cloud" \
  --deadline-remaining-seconds "$deadline"; do
  sleep 2
  ((deadline -= 5)) || exit 1
done
