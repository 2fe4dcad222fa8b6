#!/bin/bash
# Runs inside the booted Debian of systemd-boot.ts, once, and turns the machine off. /lab/blocks/*.sh are the commands of docs/install.md,
# docs/outage.md, docs/drill.md and docs/prepare.md as they stand there. Each line of /lab/results is one thing that held ("ok NAME") or did not ("not ok NAME").
set -u
exec >/lab/log 2>&1
results=/lab/results
endpoint=abc.gr7.us-west-2.eks.amazonaws.com
config=/etc/outpost-dns/outpost-dns.yaml

ok() { echo "ok $1" >>$results; }
not_ok() { echo "not ok $1: $2" >>$results; }
# expect NAME WANTED SEEN
expect() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted \"$2\", saw \"$3\""; fi; }
figure() { echo "note $1" >>$results; }
property() { systemctl show --value -p "$1" outpost-dns; }
milliseconds() { date +%s%3N; }
answers() { dig +short +tries=1 +timeout=1 "$@" "$endpoint" 2>/dev/null | grep -v '^;' | sort | tr '\n' ' '; }
metric() { bash -c 'exec 3<>/dev/tcp/127.0.0.1/9153 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3' | tr -d '\r' | grep "^$1 "; }
# until_answered WANTED SECONDS: prints what is answered at last
until_answered() {
  local deadline=$(($(milliseconds) + $2 * 1000)) seen=
  while seen=$(answers @127.0.0.1) && [ "$seen" != "$1" ] && [ "$(milliseconds)" -lt $deadline ]; do sleep 0.02; done
  echo "$seen"
}
# an answer can come before systemd hears of it; until then a reload is merged into the start, whose process has read its configuration
until_active() {
  local deadline=$(($(milliseconds) + 20000))
  until [ "$(property ActiveState)" = active ] || [ "$(milliseconds)" -gt $deadline ]; do sleep 0.05; done
}
block() { echo "== $1"; if bash -eux "/lab/blocks/$1.sh"; then ok "the commands of $1"; else not_ok "the commands of $1" "exit code $?, see the log"; fi; }
# at once: the reload before may just be reading it
configure() {
  cat >$config.next <<END
clusters:
  - name: my-cluster
    endpoint: $endpoint
    sources: [dns]
    pin: [$1]
    probe: { enabled: false }
upstreams:
  - 127.0.0.1:5399
END
  mv $config.next $config
}

ip address add 10.0.9.53/32 dev lo

block install-Copy
configure '10.0.1.10, 10.0.2.10'
block install-Credentials
block install-Start
expect 'it is answered as soon as the start has returned' '10.0.1.10 10.0.2.10 ' "$(answers @127.0.0.1)"
expect 'the service is active' active "$(property ActiveState)"
expect 'Type=notify' notify "$(property Type)"
expect 'it says what it does' answering "$(property StatusText)"
pid=$(property MainPID)
expect 'it runs as its own user' outpost-dns "$(stat -c %U /proc/"$pid")"
expect 'its only capability is port 53' 0000000000000400 "$(sed -n 's/^CapEff:\t//p' /proc/"$pid"/status)"
expect 'it can gain no other' 0000000000000400 "$(sed -n 's/^CapBnd:\t//p' /proc/"$pid"/status)"
expect 'its system calls are filtered' 2 "$(sed -n 's/^Seccomp:\t//p' /proc/"$pid"/status)"
expect 'it can gain no privilege' 1 "$(sed -n 's/^NoNewPrivs:\t//p' /proc/"$pid"/status)"
expect 'over TCP' '10.0.1.10 10.0.2.10 ' "$(answers +tcp @127.0.0.1)"
expect 'over IPv6' '10.0.1.10 10.0.2.10 ' "$(answers @::1)"
expect 'at the address that was asked' '10.0.1.10 10.0.2.10 ' "$(answers @10.0.9.53)"
expect 'the state directory is its own' 'outpost-dns 750' "$(stat -c '%U %a' /var/lib/outpost-dns)"
figure "memory: $(sed -n 's/^VmRSS:\t *//p' /proc/"$pid"/status)"
block install-Look

configure '10.0.1.10, 10.0.2.10, 10.0.3.10'
systemctl reload outpost-dns
expect 'systemctl reload: a new pin is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 5)"
expect 'systemctl reload: it is the same process' "$pid" "$(property MainPID)"

systemctl restart --no-block outpost-dns
systemctl reload outpost-dns
expect 'systemctl reload in the middle of a start waits for the end of it' active "$(property ActiveState)"
expect 'systemctl reload in the middle of a start: it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"
for wait in 0 0.02 0.04 0.06 0.1; do
  systemctl restart --no-block outpost-dns
  pid=0
  until [ "$pid" != 0 ] && grep -q outpost-dns "/proc/$pid/cmdline"; do pid=$(property MainPID); done
  sleep $wait
  kill -HUP "$pid"
done
expect 'SIGHUP from anybody in the middle of a start: it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
pid=$(property MainPID)

restarts=$(property NRestarts)
sleep 12
expect 'the watchdog leaves a server alone that answers' "$pid" "$(property MainPID)"
kill -STOP "$pid"
stopped=$(milliseconds)
while [ "$(property NRestarts)" = "$restarts" ] && [ $(($(milliseconds) - stopped)) -lt 60000 ]; do sleep 0.1; done
figure "a process that stood still was ended after $(($(milliseconds) - stopped)) ms"
expect 'a process that stands still is ended and started again' $((restarts + 1)) "$(property NRestarts)"
expect 'it answers again' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
until_active
pid=$(property MainPID)

echo 'clusters: [{ name: 7, nonsense: yes }]' >$config
systemctl reload outpost-dns
refusals() { journalctl --no-pager -u outpost-dns | grep -c 'reload refused'; }
deadline=$(($(milliseconds) + 30000))
until [ "$(refusals)" -ge 1 ] || [ "$(milliseconds)" -gt $deadline ]; do sleep 0.2; done
expect 'a bad file: the process stays' "$pid" "$(property MainPID)"
expect 'a bad file: the answer stays' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"
expect 'a bad file: the journal says so' 1 "$(refusals)"
configure '10.0.1.10, 10.0.2.10, 10.0.3.10'

kill -9 "$pid"
killed=$(milliseconds)
sleep 0.1
expect 'kill -9: it is back with the answer' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
figure "answered $(($(milliseconds) - killed)) ms after kill -9, RestartSec= included"
until_active
expect 'kill -9: it is another process' $((restarts + 2)) "$(property NRestarts)"

# a pin of the configuration would win over that of the page's command
configure ''
systemctl reload outpost-dns
# systemctl sends the signal and does not wait for its effect
for _ in $(seq 100); do
  outpost-dns status | grep -q 'the operator has pinned' || break
  sleep 0.1
done
for block in /lab/blocks/outage-*.sh; do block "$(basename "$block" .sh)"; done
expect 'after pin and unpin the answer is that of before' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"
expect 'history knows the pin' 2 "$(outpost-dns history --kind pin --json | grep -c '"kind": "pin"')"
configure '10.0.1.10, 10.0.2.10, 10.0.3.10'
systemctl reload outpost-dns
expect 'the control socket is for its user and group' 'outpost-dns outpost-dns' "$(stat -c '%U %G' /var/lib/outpost-dns/control.sock)"
block drill-Start
expect 'in a drill the endpoint is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"
expect 'in a drill the metric says so' 'outpost_dns_drill_running 1' "$(metric outpost_dns_drill_running)"
block drill-Report
block drill-Stop
block prepare-A-drill-instead-of-a-cut-link
outpost-dns drill stop
expect 'after it the metric says so' 'outpost_dns_drill_running 0' "$(metric outpost_dns_drill_running)"
block upgrade-A-new-copy-by-hand
expect 'after the upgrade it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"

started=$(milliseconds)
systemctl stop outpost-dns.socket outpost-dns
figure "stopped after $(($(milliseconds) - started)) ms"
expect 'systemctl stop: it ends well' 'success 0' "$(property Result) $(property ExecMainStatus)"
expect 'systemctl stop: nothing answers' '' "$(answers @127.0.0.1)"

# no client elsewhere can use loopback
ip address del 10.0.9.53/32 dev lo
systemctl start --no-block outpost-dns.socket outpost-dns
expect 'on loopback alone it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 20)"
expect 'on loopback alone it is not ready' activating "$(property ActiveState)"
# the first answer may come before the word to systemd
for _ in $(seq 100); do [ -n "$(property StatusText)" ] && break; sleep 0.1; done
expect 'on loopback alone it says so' 'answering on loopback alone: this host has no other address yet' "$(property StatusText)"
ip address add 10.0.9.53/32 dev lo
until_active
expect 'with an address that clients can use it is ready' 'active answering' "$(property ActiveState) $(property StatusText)"
systemctl stop outpost-dns.socket outpost-dns
expect 'systemd was told everything' 0 "$(journalctl --no-pager -u outpost-dns | grep -c 'cannot notify systemd')"
expect 'nothing was refused by the hardening' 0 "$(journalctl --no-pager -u outpost-dns | grep -ciE 'EPERM|EACCES|not permitted|permission denied')"
journalctl --no-pager -o cat -u outpost-dns
# shellcheck source=lab/package-checks.sh
. /lab/package-checks.sh
# shellcheck source=lab/restart-checks.sh
. /lab/restart-checks.sh
echo done >>$results
