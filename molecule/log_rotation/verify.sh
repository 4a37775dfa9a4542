#!/bin/sh
# Every line that ends with a failure ends the script: what is claimed, seen with other tools than the role's.
set -eux
log=/srv/shop/log/production.log
test ! -e /etc/logrotate.d/by-hand
grep -q 'su deploy deploy' /etc/logrotate.d/shop
if [ "$1" = rotated ]; then
    ls /var/backups/runbook/logrotate/by-hand.*
    # The writer is at the new file.
    size=$(stat -c %s $log)
    until [ "$(stat -c %s $log)" -gt "$size" ]; do sleep 0.1; done
    test -z "$(logrotate -d /etc/logrotate.conf 2>&1 | grep '^error')"
else
    # The reload failed: the old file has everything, uncompressed, and the new one is empty.
    test -s $log.1
    test ! -s $log
    # The log on the full disk is as it was.
    test "$(stat -c %s /var/log/small/full.log)" -eq 900000
fi
systemctl stop shop
cat $log.1 $log | cut -d= -f2 | sort -n >/var/tmp/numbers
test "$(wc -l </var/tmp/numbers)" -eq "$(cat /run/shop/end)"
test "$(uniq /var/tmp/numbers | wc -l)" -eq "$(cat /run/shop/end)"
# What is over is gone; what is not, what is written, and the record without a copy are there.
test ! -e /var/log/shop/debug.log-20260101
test -e /var/log/shop/debug.log-20260102
test -e /var/log/shop/debug.log
test -e /var/log/shop/audit.log.1
systemd-analyze cat-config systemd/journald.conf | grep -q '^SystemMaxUse=256M'
