# What the tests that start the program share. Sourced; needs nothing set. Leaves the shell in a
# folder of its own, $folder, that goes away with it.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1

passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok      $1"; }
not_ok() { failed=$((failed + 1)); echo "FAILED  $1: $2"; }

# Every process of this test names its folder.
left_behind() {
  for _ in $(seq 50); do
    pgrep -f "$folder" >/dev/null || return 1
    sleep 0.1
  done
}

# check NAME CODE TEXT... -- COMMAND...: the command exits with CODE, says every TEXT, every
# once:TEXT on exactly one line, and leaves no process behind.
check() {
  local name=$1 code=$2 texts=() text found output actual
  shift 2
  while [ "$1" != -- ]; do texts+=("$1"); shift; done
  shift
  output=$("$@" 2>&1 </dev/null)
  actual=$?
  if [ "$actual" -ne "$code" ]; then
    not_ok "$name" "exit code $actual instead of $code: ${output:0:400}"
    return
  fi
  for text in "${texts[@]}"; do
    case $text in
      once:*) [ "$(grep -cF -- "${text#once:}" <<<"$output")" -eq 1 ]; found=$? ;;
      *) [[ $output == *"$text"* ]]; found=$? ;;
    esac
    if [ "$found" -ne 0 ]; then not_ok "$name" "about \"$text\": ${output:0:800}"; return; fi
  done
  if left_behind; then not_ok "$name" "left behind: $(pgrep -af "$folder")"; return; fi
  ok "$name"
}

# holds NAME COMMAND...: the command succeeds.
holds() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$* ${output:0:400}"; fi
}

# finish: the last line of a test.
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
