//! Accounts that may do only some things to a test's bucket.

use super::Place;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// The bucket's name in the examples of this repository, whose prefix is that of every [`Place`].
const EXAMPLE: &str = "example-vault-backups";

/// The credentials of an account.
pub type Credentials = [(&'static str, String); 2];

impl Place {
    /// The credentials of a new account that may do `actions` to the bucket and what is in it.
    pub fn may(&self, actions: &[&str]) -> Credentials {
        self.account(&[self.statement("Allow", actions, &[])])
    }

    /// A statement of a policy; without `keys` it is about the bucket and all that is in it.
    pub fn statement(&self, effect: &str, actions: &[&str], keys: &[String]) -> Value {
        let bucket = format!("arn:aws:s3:::{EXAMPLE}");
        let of_all = vec![bucket.clone(), format!("{bucket}/*")];
        let of_keys = keys.iter().map(|key| format!("{bucket}/{key}")).collect();
        let resources = if keys.is_empty() { of_all } else { of_keys };
        json!({"Effect": effect, "Action": actions, "Resource": resources})
    }

    /// The credentials of a new account with these statements, which name the bucket and
    /// the prefix of this repository's examples. The bucket has no other policy then.
    pub fn account(&self, statements: &[Value]) -> Credentials {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (s3, bucket) = (&self.site.s3, self.bucket());
        let (name, secret) = s3.account(&format!("account-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let ours = |statement: &Value| {
            let mut statement: Value = serde_json::from_str(&statement.to_string().replace(EXAMPLE, bucket)).unwrap();
            statement["Principal"] = json!({"AWS": [name]});
            statement
        };
        let statements: Vec<_> = statements.iter().map(ours).collect();
        s3.policy(bucket, &json!({"Version": "2012-10-17", "Statement": statements}));
        [("AWS_ACCESS_KEY_ID", name), ("AWS_SECRET_ACCESS_KEY", secret)]
    }
}
