# What staging.token needs on the staging Vault. It serves for the first drill alone:
# the restore replaces staging's tokens. Without it a root token is made from the
# unseal key shares, and revoked by the restore itself.
#   vault policy write drill-staging staging.hcl

# Replaces everything that staging holds.
path "sys/storage/raft/snapshot-force" {
  capabilities = ["create", "update"]
}

# One peer, and none of the source's: the guard.
path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}

# The token that must be dead after the restore.
path "auth/token/create" {
  capabilities = ["create", "update"]
}
