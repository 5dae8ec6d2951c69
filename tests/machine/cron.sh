#!/bin/sh
# Runs Debian's cron as on a machine of its own, whose /run, /dev, crontabs, programs and
# sendmail are the test's; nothing of it is left when it ends. For cron.rs alone:
#
#   unshare --mount --pid --fork --kill-child --mount-proc cron.sh ROOM
#
# ROOM has `crontab`, `bin` (/usr/local/bin), `home`, `log/socket` (the system log) and
# `mail`, where each mail becomes a file.
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

# 15: the start and the end of each job, and how it ended.
exec /usr/sbin/cron -f -L 15
