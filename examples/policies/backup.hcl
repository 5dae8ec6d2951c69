# The rights of `vault-backup backup` on the cluster that it backs up:
#   vault policy write backup backup.hcl

path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}

# The default policy includes these two. They matter for a role without it
# (token_no_default_policy): the run revokes its token at the end, and doctor looks up
# the token's rights.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}
