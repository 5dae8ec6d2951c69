# The rights of staging.token on the staging Vault. Only the first drill uses it, because
# the restore replaces staging's tokens. Without it the drill makes a root token from the
# unseal key shares, and the restore itself invalidates that token.
#   vault policy write drill-staging staging.hcl

# Replace all data of staging.
path "sys/storage/raft/snapshot-force" {
  capabilities = ["create", "update"]
}

# For the guard: staging has one peer, which is none of the source's.
path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}

# Create the token that the restore must invalidate.
path "auth/token/create" {
  capabilities = ["create", "update"]
}
