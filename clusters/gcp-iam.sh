#!/usr/bin/env bash
# Permissions of the machines of clusters/gcp.yaml: read the key of one bucket, and pull one image.
#
#   clusters/gcp-iam.sh my-project my-bucket
#
# To change: the two arguments; the region, if the image is elsewhere. Run it once per project; the key passes from one Google
# service to the other and is never displayed.
set -euo pipefail

project=${1:?the project}
bucket=${2:?the bucket for data and runs}
region=us-central1

account() {
  gcloud iam service-accounts describe "$1@$project.iam.gserviceaccount.com" --project "$project" > /dev/null 2>&1 ||
    gcloud iam service-accounts create "$1" --project "$project"
}

account raytl-bucket         # its key is on the machines; it can access only the bucket
account raytl-worker         # the account of the workers
account ray-autoscaler-sa-v1 # the account of the head; `ray up` grants its roles

gcloud storage buckets add-iam-policy-binding "gs://$bucket" --role roles/storage.objectUser \
  --member "serviceAccount:raytl-bucket@$project.iam.gserviceaccount.com"

if ! gcloud secrets describe raytl-bucket --project "$project" > /dev/null 2>&1; then
  gcloud storage hmac create "raytl-bucket@$project.iam.gserviceaccount.com" --project "$project" \
    --format 'csv[no-heading,separator=" "](metadata.accessId,secret)' |
    { read -r id secret && printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$id" "$secret"; } |
    gcloud secrets create raytl-bucket --project "$project" --replication-policy automatic --data-file -
fi

for name in raytl-worker ray-autoscaler-sa-v1; do
  member="serviceAccount:$name@$project.iam.gserviceaccount.com"
  gcloud secrets add-iam-policy-binding raytl-bucket --project "$project" \
    --role roles/secretmanager.secretAccessor --member "$member"
  gcloud artifacts repositories add-iam-policy-binding raytl --project "$project" --location "$region" \
    --role roles/artifactregistry.reader --member "$member"
done
