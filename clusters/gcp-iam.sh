#!/usr/bin/env bash
# What machines of clusters/gcp.yaml may do: read the key of one bucket, and pull one image.
#
#   clusters/gcp-iam.sh my-project my-bucket
#
# To change: the two words; the region, if the image is elsewhere. Once for a project; the key goes from one Google service
# to the other and is shown nowhere.
set -euo pipefail

project=${1:?the project}
bucket=${2:?the bucket of data and runs}
region=us-central1

account() {
  gcloud iam service-accounts describe "$1@$project.iam.gserviceaccount.com" --project "$project" > /dev/null 2>&1 ||
    gcloud iam service-accounts create "$1" --project "$project"
}

account raytl-bucket         # whose key the machines have: it may use the bucket, and nothing else
account raytl-worker         # the workers' own
account ray-autoscaler-sa-v1 # the head's; `ray up` gives it its roles

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
