# What the drill reads with the source's credentials ([staging.auth]) once the backup
# is restored: the canary alone. Written on the source cluster, so that it is in the
# backup:
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
