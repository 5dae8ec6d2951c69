//! Hands over to the library and ends with its exit code.

fn main() -> std::process::ExitCode {
    vault_backup::run()
}
