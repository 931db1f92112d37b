package sshdevice

// The scripts below run on the host, as the effective user, as any script does
// (see evalStage). What is kept of a detached command is in a folder of its own:
//
//	/var/tmp/drover-UID/NAME/   or /tmp/…, where that cannot be
//	  pid     the command, what looks after it, during which boot and since when,
//	          how much is kept
//	  1 2     pipes from the command's streams to what keeps their beginning
//	  out err      that beginning
//	  all1 all2    how many bytes came in all, known at the end
//	  timed gone   the time limit was reached; what the killing of it said
//	  exit    status, timed out, kill confirmed, bytes in all; written at once, last
//
// Making the folder is the lock: only who made it starts anything. The folders
// above it belong to the user and to nobody else, or they are not used.

// findFolder sets u (the user), q (where folders may lie) and f (the folder of
// $n, "" when there is none).
const findFolder = `umask 077; u=$(id -u); f=; q=
safe() { [ -d "$1" ] && [ ! -L "$1" ] && set -- $(ls -ldn "$1") && case $1 in drwx------|drwx------.) [ "$3" = "$u" ];; *) false;; esac; }
for b in /var/tmp /tmp; do if safe "$b/drover-$u" && [ -d "$b/drover-$u/$n" ] && [ ! -L "$b/drover-$u/$n" ]; then q=$b/drover-$u; f=$q/$n; break; fi; done
alive() { { read -r c s boot keep born cborn <"$f/pid"; } 2>/dev/null || return 1
[ "$boot" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ] || return 1
{ read -r l <"/proc/$s/stat"; } 2>/dev/null || return 1; set -- ${l##*") "}; [ "${20}" = "$born" ]; }
`

// startFolder makes the folder and starts the command, unless there is one. What must
// be written later has its room before: the command itself may fill the disk. Old
// folders go, but not that of a command that runs: clocks jump. The script goes through a pipe to the command's shell: it is in no file that
// anybody could read, nor on a command line.
const startFolder = `refuse() { printf "\001%s refused %s\n" $k "$1"; exit 0; }
if [ -z "$f" ]; then
for t in setsid mkfifo tee head tail wc find; do command -v $t >/dev/null 2>&1 || refuse "there is no $t"; done
[ -n "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ] || refuse "there is no /proc/sys/kernel/random/boot_id"
if [ $tried -gt 0 ]; then { read -r up l </proc/uptime; } 2>/dev/null || up=0
if [ "${up%%.*}" -lt $tried ]; then printf "\001%s missing\n" $k; exit 0; fi; fi
for b in /var/tmp /tmp; do q=$b/drover-$u; mkdir "$q" 2>/dev/null; if safe "$q" && [ -w "$q" ]; then break; fi; q=; done
[ -n "$q" ] || refuse "neither /var/tmp nor /tmp has a folder drover-$u for it that is this user's alone"
f=$q/$n
if mkdir "$f" 2>/dev/null; then
if ! { printf "%256s\n" "" >"$f/pid.new" && printf "%256s\n" "" >"$f/exit.new"; } 2>/dev/null; then rm -rf "$f"; refuse "nothing can be written in $q"; fi
b=sh; if command -v bash >/dev/null 2>&1; then b=bash; fi
{ printf %s "$script" | setsid sh -c "$super" drover-detached "$f" $limit $keep $k "$body" "$extra" "$kill" $b "$watch" >/dev/null & } 2>/dev/null
find "$q" -mindepth 1 -maxdepth 1 -type d -mtime +14 2>/dev/null | (while read -r f; do alive || rm -rf "$f"; done) >/dev/null 2>&1
elif [ ! -d "$f" ] || [ -L "$f" ]; then refuse "no folder can be made in $q"; fi
i=0; while [ ! -e "$f/pid" ] && [ ! -e "$f/exit" ] && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i+9)); }; done
fi
unset script
`

// lookFolder waits for the command's end and says how it stands.
const lookFolder = `if [ -z "$f" ]; then printf "\001%s missing\n" $k; exit 0; fi
i=0; t=0.1; while [ ! -e "$f/exit" ] && [ $i -lt $w ]; do i=$((i+1)); if [ $i -gt 10 ]; then t=0.5; i=$((i+4)); fi; sleep $t 2>/dev/null || { sleep 1; i=$((i+9)); }; done
x=; state=running
if [ ! -e "$f/exit" ] && [ ! -e "$f/pid" ]; then printf "\001%s starting\n" $k; exit 0; fi
alive || state=lost
if [ -e "$f/exit" ]; then state=ended; read -r x <"$f/exit"; fi
size() { l=$(($(wc -c <"$1"))); [ $l -le $keep ] || l=$keep; echo $l; }
printf "\001%s %s %s %s %s\n" $k $state $(size "$f/out") $(size "$f/err") "$x"
[ $o -ge $keep ] || tail -c +$((o+1)) "$f/out" | head -c $((keep-o))
printf "\001%s\n" $k >&2
[ $e -ge $keep ] || tail -c +$((e+1)) "$f/err" | head -c $((keep-e)) >&2
`

// killFolder kills the command and says so in the words of killStage. A process
// that only has the number of the command's is left alone: then nothing of the
// command is left, or its number would not be another's.
const killFolder = `gone() { printf "drover-gone %s %s\n" $k 0; exit 0; }
[ -n "$f" ] && [ ! -e "$f/exit" ] || gone
i=0; while [ ! -e "$f/pid" ] && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i+9)); }; done
[ -e "$f/pid" ] || exit 1
alive; [ -n "$boot" ] || exit 1
[ "$boot" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" ] || gone
if { read -r l <"/proc/$c/stat"; } 2>/dev/null; then set -- ${l##*") "}; [ "${20}" = "$cborn" ] || gone; fi
sh -c "$kill" drover-kill $c $c $k
i=0; while [ ! -e "$f/exit" ] && alive && [ $i -lt 30 ]; do i=$((i+1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i+9)); }; done
`

// superStage looks after a detached command, in a session of its own: $1 is the
// folder, $2 the time limit, $3 how much is kept of each stream, $4 the nonce, $5
// how the shell takes the script from standard input, $6 what that needs besides,
// $7 killStage, $8 the shell, $9 watchStage. The command has a session of its own
// too, which is what is killed.
const superStage = `umask 077; d=$1; exec 3<&0 </dev/null; mkfifo "$d/1" "$d/2" || exit 1
take() { ulimit -f $(((keep+511)/512)); trap "" XFSZ; tee "$1" 2>/dev/null | wc -c >"$2"; }
keep=$3; take "$d/out" "$d/all1" <"$d/1" 3<&- & take "$d/err" "$d/all2" <"$d/2" 3<&- &
setsid $8 -c "$5" drover $4 0 0 "$6" <&3 3<&- >"$d/1" 2>"$d/2" & c=$!
exec 3<&-
born() { { read -r l <"/proc/$1/stat"; } 2>/dev/null && set -- ${l##*") "} && echo ${20}; }
while [ ! -e "$d/out" ] || [ ! -e "$d/err" ]; do sleep 0.01 2>/dev/null || sleep 1; done
printf "%s %s %s %s %s %s\n" $c $$ "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" $keep "$(born $$)" "$(born $c)" 1<>"$d/pid.new"; mv "$d/pid.new" "$d/pid"
setsid sh -c "$9" drover-limit "$2" "$d" "$7" $c >/dev/null 2>&1 & g=$!
wait $c; r=$?
t=0; a=0
if [ -e "$d/timed" ]; then i=0; while [ ! -s "$d/gone" ] && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i+9)); }; done
t=1; if [ -s "$d/gone" ]; then a=1; read -r x y z <"$d/gone"; [ "$z" = 1 ] || t=0; fi; fi
kill -s KILL -- -$g 2>/dev/null; kill -s KILL $g 2>/dev/null
i=0; while { [ ! -s "$d/all1" ] || [ ! -s "$d/all2" ]; } && [ $i -lt 20 ]; do i=$((i+1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i+9)); }; done
p=0; q=0; [ ! -s "$d/all1" ] || read -r p <"$d/all1"; [ ! -s "$d/all2" ] || read -r q <"$d/all2"
echo $r $t $a $p $q 1<>"$d/exit.new"; mv "$d/exit.new" "$d/exit"`

// watchStage keeps the time limit $1 of the command that is session $4, with
// folder $2 and killStage $3.
const watchStage = `sleep "$1"; : >"$2/timed"; sh -c "$3" drover-kill $4 $4 x >"$2/gone"`
