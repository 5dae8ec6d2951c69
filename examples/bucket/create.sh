#!/bin/sh
# Creates a bucket for backups: versioning, Object Lock, encryption, no public access, TLS
# only, and a lifecycle rule that removes noncurrent versions and abandoned uploads.
#
#   BUCKET=example-vault-backups REGION=eu-central-1 sh create.sh
#
# ENDPOINT is the URL of an S3 server other than AWS. Object Lock can only be enabled when
# a bucket is created. The bucket gets no default retention: store.object_lock_daily and
# store.object_lock_monthly set it for each object.
set -eu
cd "$(dirname "$0")"
: "${BUCKET:?set it to the bucket's name}" "${REGION:?set it to the bucket's region}"

s3() {
    command=$1
    shift
    aws ${ENDPOINT:+--endpoint-url "$ENDPOINT"} --region "$REGION" s3api "$command" --bucket "$BUCKET" "$@"
}

# us-east-1 is the only region that must not be given as a location.
if [ "$REGION" = us-east-1 ]; then
    s3 create-bucket --object-lock-enabled-for-bucket
else
    s3 create-bucket --object-lock-enabled-for-bucket \
        --create-bucket-configuration "LocationConstraint=$REGION"
fi
s3 put-bucket-versioning --versioning-configuration Status=Enabled
s3 put-public-access-block --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
s3 put-bucket-encryption --server-side-encryption-configuration \
    '{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}'
s3 put-bucket-lifecycle-configuration --lifecycle-configuration file://lifecycle.json
sed "s/example-vault-backups/$BUCKET/g" policy.json | s3 put-bucket-policy --policy file:///dev/stdin
