# shellcheck shell=bash
# Sourced by boot-checks.sh, whose functions it uses, after package-checks.sh has left a bare host: the .deb of the version before, under
# load, is restarted, killed, reloaded and upgraded. restart/inside.ts is the load and says what was lost.
endpoint=abc.gr7.us-west-2.eks.amazonaws.com
apt-get install -y /root/before/outpost-dns_*.deb
configure '10.0.1.10, 10.0.2.10, 10.0.3.10'
systemctl start outpost-dns.socket outpost-dns
expect 'under load: the server answers before' '10.0.1.10 10.0.2.10 10.0.3.10 ' "$(until_answered '10.0.1.10 10.0.2.10 10.0.3.10 ' 10)"
until_active
sleep 2
"$node" /lab/restart/inside.ts "$endpoint" 5399 /root/outpost-dns_*.deb >/root/restart.txt
expect 'under load: the load ran to its end' 0 $?
cat /root/restart.txt
cat /root/restart.txt >>$results
expect 'under load: upgraded' "installed $current" "$(installed)"
expect 'under load: nothing but its own end is in the journal as an error' '' "$(journalctl --no-pager -o cat -u outpost-dns -p err --since "@$(($(date +%s) - 120))" | grep -v SIGKILL | grep '"level":"error"')"
