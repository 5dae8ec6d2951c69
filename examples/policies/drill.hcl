# The rights of a restore drill with the source's credentials ([staging.auth]): it reads
# the canary after the restore, nothing else. Write this policy on the source cluster, so
# that it is in the backup:
#   vault policy write drill drill.hcl

# KV version 2
path "smtp/data/test-tenant-id/admin" {
  capabilities = ["read"]
}

# KV version 1
path "smtp/test-tenant-id/admin" {
  capabilities = ["read"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
