#!/bin/sh
# Runs Debian's cron in its own mount and process namespaces, with /run, /dev, crontabs,
# programs and sendmail provided by the test. Leaves nothing behind. Used only by cron.rs:
#
#   unshare --mount --pid --fork --kill-child --mount-proc cron.sh ROOM
#
# ROOM contains `crontab`, `bin` (/usr/local/bin), `home`, `log/socket` (the system log) and
# `mail`, which receives one file per mail.
set -eu
room=$1
user=nobody

mkdir "$room/sbin" "$room/spool" "$room/dev" "$room/empty"
cp "$(command -v cron || echo /usr/sbin/cron)" "$room/sbin/cron"
cat >"$room/sbin/sendmail" <<'END'
#!/bin/sh
{ echo "sendmail $*"; cat; } >/run/mail/.$$
mv /run/mail/.$$ /run/mail/$$
END
chmod 755 "$room/sbin/sendmail"
install -m 600 -o $user "$room/crontab" "$room/spool/$user"
chmod 1777 "$room/mail"

mount -t tmpfs -o mode=755 tmpfs "$room/dev"
for device in null zero random urandom; do
    : >"$room/dev/$device"
    mount --bind /dev/$device "$room/dev/$device"
done
ln -s /run/log/socket "$room/dev/log"

mount --bind "$room/bin" /usr/local/bin
mount --bind "$room/sbin" /usr/sbin
mount --bind "$room/spool" /var/spool/cron/crontabs
mount --bind "$room/empty" /etc/cron.d
[ ! -e /etc/crontab ] || mount --bind /dev/null /etc/crontab
mount --rbind "$room/dev" /dev
mount -t tmpfs -o mode=755 tmpfs "$room/empty"
mkdir -m 1777 "$room/empty/lock"
mkdir "$room/empty/log" "$room/empty/mail"
mount --bind "$room/log" "$room/empty/log"
mount --bind "$room/mail" "$room/empty/mail"
cp -R "$room/home" "$room/empty/home"
chown -R $user "$room/empty/home"
mount --rbind "$room/empty" /run

# 15: log the start, the end and the exit status of each job.
exec /usr/sbin/cron -f -L 15
