# What `vault-backup backup` needs on the cluster that it backs up:
#   vault policy write backup backup.hcl

path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}

# The default policy has these two; they matter where a role leaves it out
# (token_no_default_policy): the token is revoked when the run ends, and doctor
# asks what it may do.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
