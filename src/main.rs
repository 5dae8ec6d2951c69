//! Hands over to the library and ends with its exit code.

#[global_allocator]
static ALLOCATOR: vault_backup::base::memory::Allocator = vault_backup::base::memory::Allocator;

fn main() -> std::process::ExitCode {
    vault_backup::run()
}
