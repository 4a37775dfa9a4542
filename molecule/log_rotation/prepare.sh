#!/bin/sh
set -eu
useradd --system deploy
mkdir -p /srv/shop/log /var/log/shop /var/log/journal
journalctl --flush
chown deploy:deploy /srv/shop/log
chmod 2775 /srv/shop/log
# A writer that opens its log anew when it is told to.
cat >/opt/writer.py <<'PY'
import os, signal, time
again, end = [], []
signal.signal(signal.SIGHUP, lambda *_: again.append(1))
signal.signal(signal.SIGTERM, lambda *_: end.append(1))
number, stream = 0, open("/srv/shop/log/production.log", "ab", buffering=0)
while not end:
    if again:
        again.clear()
        stream.close()
        stream = open("/srv/shop/log/production.log", "ab", buffering=0)
    number += 1
    stream.write(b"seq=%d\n" % number)
    time.sleep(0.001)
open("/run/shop/end", "w").write(str(number))
PY
cat >/etc/systemd/system/shop.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 /opt/writer.py
ExecReload=/bin/kill -HUP $MAINPID
User=deploy
UMask=0027
RuntimeDirectory=shop
RuntimeDirectoryPreserve=yes
UNIT
systemctl daemon-reload
systemctl start shop
if [ "$1" = rotated ]; then
    cat >/etc/logrotate.d/by-hand <<'CONF'
/srv/shop/log/*.log {
    daily
    rotate 30
    compress
    create 0644 deploy deploy
    postrotate
        systemctl reload shop
    endscript
}
CONF
    # It skips every file: the directory belongs to a group, and there is no su.
    if logrotate --force /etc/logrotate.d/by-hand 2>/dev/null; then exit 1; fi
fi
# Old and young, a record that was never exported, and what is no log at all.
touch -d '10 days ago' /var/log/shop/debug.log-20260101
touch -d '2 days ago' /var/log/shop/debug.log-20260102
touch -d '500 days ago' /var/log/shop/audit.log.1
echo written >/var/log/shop/debug.log
touch -d '10 days ago' /var/log/shop/debug.log
