# Faults on a machine, each in a unit of its own. Ends when all of them are there.
cat >/etc/systemd/system/planted-failed.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/false
UNIT
cat >/etc/systemd/system/planted-loop.service <<'UNIT'
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/false
Restart=always
RestartSec=200ms
UNIT
# The shell survives what it starts, so that the unit's group stays with its count of kills.
cat >/etc/systemd/system/planted-hog.service <<'UNIT'
[Service]
MemoryMax=24M
MemoryLimit=24M
OOMPolicy=continue
ExecStart=/bin/sh -c 'test -e /run/hog-tamed || python3 -c "b = bytearray(200 << 20)"; touch /run/hog-done; exec sleep 86400'
UNIT
systemctl daemon-reload
systemctl start planted-failed 2>/dev/null || true
systemctl start --no-block planted-loop
systemctl start planted-hog
systemd-run --quiet --unit planted-zombies python3 -c '
import os, time
for _ in range(7):
    if os.fork() == 0:
        os._exit(0)
time.sleep(86400)'
systemd-run --quiet --unit planted-open python3 -m http.server 8099 --bind 0.0.0.0
systemd-run --quiet --unit planted-local python3 -m http.server 8098 --bind 127.0.0.1
# Puma names itself, whatever started it.
systemd-run --quiet --unit planted-puma bash -c 'exec -a "puma: cluster worker 0: [app] password=hunter2pass" sleep 86400'
mkdir -p /srv/full /srv/inodes /srv/app/mounted
mount -t tmpfs -o size=8m planted /srv/full
mount -t tmpfs -o size=8m,nr_inodes=64 planted /srv/inodes
mount -t tmpfs -o size=64m planted /srv/app/mounted
for n in $(seq 1 60); do : >/srv/inodes/$n; done
mkdir -p /srv/full/log /srv/full/log/deep /srv/full/pg/log /srv/full/pg/pg_wal
echo 15 >/srv/full/pg/PG_VERSION
for n in 1 2 3; do head -c 1000000 /dev/urandom >/srv/full/log/app.log.$n; touch -d "$((n + 7)) days ago" /srv/full/log/app.log.$n; done
head -c 500000 /dev/urandom >/srv/full/log/deep/app.log.9; touch -d '9 days ago' /srv/full/log/deep/app.log.9
head -c 300000 /dev/urandom >/srv/full/log/young.log.1
head -c 300000 /dev/urandom >/srv/full/log/open.log.1
systemd-run --quiet --unit planted-writer sh -c 'exec 3>>/srv/full/log/open.log.1; touch /run/writer-ready; exec sleep 86400'
head -c 200000 /dev/urandom >/srv/full/twice; ln /srv/full/twice /srv/full/log/hard.log.1
echo precious >/srv/full/precious; ln -s /srv/full/precious /srv/full/log/link.log.1
ln -s /srv/full/pg/pg_wal /srv/full/log/wal
for name in pg_wal/000000010000000000000001 log/postgresql-Mon.log pg_wal/old.log; do
    head -c 500000 /dev/urandom >/srv/full/pg/$name; touch -d '30 days ago' /srv/full/pg/$name
done
head -c 1000000 /dev/zero >/srv/app/data; head -c 30000000 /dev/zero >/srv/app/mounted/large
systemd-run --quiet --unit planted-deleted sh -c '
    head -c 20000000 /dev/zero >/var/tmp/gone.log; exec 3</var/tmp/gone.log; rm /var/tmp/gone.log; touch /run/deleted-ready; exec sleep 86400'
until [ -e /run/writer-ready ] && [ -e /run/deleted-ready ] && [ -e /run/hog-done ] &&
    [ "$(ps -eo stat | grep -c ^Z)" -ge 7 ] && pgrep -f '^puma:' >/dev/null &&
    [ "$(systemctl show --property NRestarts --value planted-loop)" -ge 3 ] &&
    curl -s -o /dev/null http://127.0.0.1:8099/ && curl -s -o /dev/null http://127.0.0.1:8098/; do sleep 0.2; done
touch -d '8 days ago' /srv/full/log/open.log.1 /srv/full/log/hard.log.1 /srv/full/twice
# The rest of the room, to the last byte.
head -c 100000000 /dev/zero >/srv/full/ballast 2>/dev/null || true
