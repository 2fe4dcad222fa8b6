# shellcheck shell=bash
# Sourced by boot-checks.sh, whose functions it uses: the .deb beside a copy by hand, then the ten minutes of a stranger, from a bare host to
# a purge, against the sandbox's Region. /root holds the .deb, /root/before the same files as a version before.
started=$(milliseconds)
clock() { figure "$(printf '%3d s  %s' $((($(milliseconds) - started) / 1000)) "$1")"; }
installed() { dpkg-query -W -f '${db:Status-Status} ${Version}' outpost-dns 2>/dev/null; }
current=$(basename /root/outpost-dns_*.deb | cut -d_ -f2)

# the state and the configuration of the copy by hand are those of the checks before
configure '10.0.1.10, 10.0.2.10, 10.0.3.10'
systemctl start outpost-dns
pid=$(property MainPID)
block upgrade-From-a-copy-by-hand
expect 'the .deb takes over from a copy by hand' "installed $current" "$(installed)"
expect 'the .deb takes over: it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
expect 'the .deb takes over: the unit is that of the package' /lib/systemd/system/outpost-dns.service "$(property FragmentPath | sed 's,^/usr,,')"
expect 'the .deb takes over: another process runs' yes "$([ "$pid" != "$(property MainPID)" ] && echo yes)"
expect 'the .deb takes over: no file of the copy is left' '' "$(find /usr/lib/outpost-dns ! -type d -print0 | xargs -0 dpkg -S 2>&1 >/dev/null)"
block upgrade-Purge

# this shell remembers where the command was
hash -r
# a bare host from here on: the names, the folders and the units of before are gone
expect 'a purge leaves nothing' '' "$(ls -d /etc/outpost-dns /var/lib/outpost-dns /var/cache/outpost-dns /usr/lib/outpost-dns /etc/systemd/system/*/outpost-dns* /usr/bin/outpost-dns 2>/dev/null)"
started=$(milliseconds)
clock 'a bare host'
apt-get install -y /root/before/outpost-dns_*.deb
clock 'apt install ./outpost-dns_*.deb'
expect 'the .deb is installed' 'installed 0.1.99-1' "$(installed)"
expect 'it is enabled' enabled "$(systemctl is-enabled outpost-dns)"
expect 'without a configuration it is not started' inactive "$(property ActiveState)"
expect 'without a configuration port 53 is left alone' '' "$(ss -Hlnu sport = :53)"
expect 'its own user' outpost-dns "$(id -un outpost-dns)"
expect 'the command is found' 'outpost-dns ' "$(outpost-dns --help | sed -n 's/^Usage: \(outpost-dns \).*/\1/p')"

/root/dist/outpost-dns/bin/outpost-dns sandbox --region-only --port 5399 --http-port 9199 >/root/region.json 2>/root/region.log &
region=$!
until [ -s /root/region.json ]; do sleep 0.1; done
node=/root/dist/outpost-dns/node_modules/node/bin/node
"$node" -e 'for (const [k, v] of Object.entries(JSON.parse(fs.readFileSync("/root/region.json", "utf8")).environment)) console.log(`${k}="${v}"`)' >/etc/outpost-dns/environment
upstream=$("$node" -p 'JSON.parse(fs.readFileSync("/root/region.json", "utf8")).dnsAddress')
link() { /root/dist/outpost-dns/bin/outpost-dns sandbox link "$1" --port 5399; }
if outpost-dns init --cluster demo --region us-west-2 --upstream "$upstream"; then ok 'init writes the configuration'; else not_ok 'init writes the configuration' "exit code $?, see the log"; fi
expect 'init names the addresses that it found' 1 "$(grep -c '# *addresses 10.0.1.10, 10.0.2.10, 10.0.3.10' $config)"
cat $config
# Short intervals, because the walk is short. No server listens at the simulated addresses.
sed -i 's/^    region: us-west-2$/&\n    probe: { enabled: false }/' $config
echo 'refresh: { dns: 5s, interfaces: 5s, cluster: 30s, retryMin: 1s, retryMax: 3s, deadline: 5s }' >>$config
endpoint=5E9D0F3C7A1B4286B0D4C8E2F6A19753.gr7.us-west-2.eks.amazonaws.com
clock 'configured'
block install-Start
expect 'the package: the endpoint is learned' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 30)"
clock 'dig answers'
deadline=$(($(milliseconds) + 30000))
until metric outpost_dns_state_pending | grep -q ' 0$' && outpost-dns check || [ "$(milliseconds)" -gt $deadline ]; do sleep 0.5; done
block install-Ready-for-an-outage
block upgrade-Before
clock 'check is green'
link down
sleep 3
expect 'the package, cut off: it is answered' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(answers @127.0.0.1)"
clock 'cut off, dig answers'
pid=$(property MainPID)
sed -i 's/dns: 5s/dns: 6s/' $config
systemctl reload outpost-dns
expect 'the package, cut off: a reload keeps process and answer' "$pid 10.0.1.10 10.0.2.10 10.0.3.10 " "$(property MainPID) $(answers @127.0.0.1)"
kill -9 "$pid"
sleep 0.1
expect 'the package, cut off: kill -9 costs no answer' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
until_active
clock 'kill -9, dig answers'
cp /etc/outpost-dns/environment /root/environment.before
cp $config /root/config.before
block upgrade-Package
expect 'the package, cut off: upgraded' "installed $current" "$(installed)"
expect 'the package, cut off: the upgrade keeps the configuration' same "$(cmp -s $config /root/config.before && cmp -s /etc/outpost-dns/environment /root/environment.before && echo same)"
expect 'the package, cut off: the upgrade brings the new examples' '' "$(grep 'of the version before' /etc/outpost-dns/*.example)"
expect 'the package, cut off: it is answered after the upgrade' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
clock 'upgraded, dig answers'
pid=$(property MainPID)
echo 'clusters: [{ name: 7, nonsense: yes }]' >$config
apt-get install -y --reinstall ./outpost-dns_*.deb
expect 'an upgrade to a version that refuses the configuration: the process stays' "$pid 10.0.1.10 10.0.2.10 10.0.3.10 " "$(property MainPID) $(answers @127.0.0.1)"
cp /root/config.before $config
link up
# the socket too: a query that waits there would start the service again
systemctl stop outpost-dns.socket outpost-dns
expect 'a service that was stopped keeps its compiled code' yes "$(find /var/cache/outpost-dns -type f | grep -q . && echo yes)"
apt-get install -y --reinstall ./outpost-dns_*.deb
expect 'an upgrade does not start a service that was stopped' inactive "$(property ActiveState)"
systemctl disable outpost-dns
apt-get install -y --reinstall ./outpost-dns_*.deb
expect 'an upgrade does not enable a service that was disabled' disabled "$(systemctl is-enabled outpost-dns)"
systemctl start outpost-dns
block upgrade-Remove
expect 'removed: nothing answers' '' "$(answers @127.0.0.1)"
expect 'removed: the state stays' yes "$([ -s /var/lib/outpost-dns/endpoints.json ] && [ -s $config ] && echo yes)"
block upgrade-Purge
expect 'purged: configuration and state are gone' '' "$(ls -d /etc/outpost-dns /var/lib/outpost-dns /var/cache/outpost-dns 2>/dev/null)"
clock 'removed and purged'
kill $region
