# CASE, WHO, NANOSECONDS and ANSWER, by tabs: a row for each case. Everybody has to have come to the same answer.

BEGIN {
  n = split("stream-1M strings-1M vector-1M buffer-1M process-1M fragments-10k suffix-65536 fold-100k fold-1M algebra-fragments-100k difference-contiguous-100k len-10M", order, " ")
  label["stream-1M"] = "each of 1,000,000 names as `&str`, a name"
  label["strings-1M"] = "each of 1,000,000 names as a `String`, a name"
  label["vector-1M"] = "1,000,000 names as `String`s in a `Vec`, or a list, a name"
  label["buffer-1M"] = "1,000,000 names into one buffer, a name"
  label["process-1M"] = "`hostlist expand` of 1,000,000, the whole process, a name"
  label["fragments-10k"] = "10,000 single numbers in a bracket, read and gone through, a name"
  label["suffix-65536"] = "`n[1-65536]-ib`, read, each as a `String`, a name"
  label["fold-100k"] = "100,000 shuffled names, read, sorted and folded, a name"
  label["fold-1M"] = "1,000,000 shuffled names, likewise, a name"
  label["algebra-fragments-100k"] = "intersection and difference of 100,000 single numbers each, read too"
  label["difference-contiguous-100k"] = "difference of two ranges of 100,000, read too"
  label["len-10M"] = "length of `n[1-10000000]`, read too"
  aim["stream-1M"] = "13x nodeset, 24x libslurm"
  aim["strings-1M"] = aim["suffix-65536"] = "2.7x nodeset"
  aim["buffer-1M"] = "13x scontrol"
  aim["fragments-10k"] = "3.4x nodeset"
  aim["fold-100k"] = "11x nodeset, 100x libslurm"
  aim["fold-1M"] = "19x nodeset"
  aim["algebra-fragments-100k"] = "2.8x nodeset"
  aim["difference-contiguous-100k"] = "130x nodeset"
  aim["len-10M"] = "3x hostlist_iter"
}

function spell(ns) {
  if (ns >= 1e9) return sprintf("%.2f s", ns / 1e9)
  if (ns >= 1e6) return sprintf("%.1f ms", ns / 1e6)
  if (ns >= 1e4) return sprintf("%.1f us", ns / 1e3)
  return sprintf(ns < 100 ? "%.1f ns" : "%.0f ns", ns)
}

$1 == "hostile" { hostile = sprintf("Of %d texts made to hurt, the one that takes longest to expand, or to count or refuse where it is too much: %s, %s.", $4, $2, spell($3)); next }
$2 == "slurmburst" { ours[$1] = $3; answer[$1] = $4; next }
function note(what, who, ns,    ratio) {
  ratio = ns / ours[what]
  peers[what] = peers[what] (peers[what] == "" ? "" : ", ") who " " spell(ns) " (" sprintf(ratio < 10 ? "%.1f" : "%.0f", ratio) "x)"
}

{
  if ($4 != answer[$1]) { printf "%s: %s came to %s, not %s\n", $1, $2, $4, answer[$1] > "/dev/stderr"; wrong = 1 }
  note($1, $2, $3)
  # Nothing of Slurm's does that within a process.
  if ($1 == "process-1M") note("buffer-1M", $2, $3)
}

END {
  if (wrong) exit 1
  print "| | slurmburst | others, and how many times ours that is | aim |"
  print "|---|---|---|---|"
  for (i = 1; i <= n; i++) {
    if (order[i] in ours) printf "| %s | %s | %s | %s |\n", label[order[i]], spell(ours[order[i]]), peers[order[i]], aim[order[i]]
  }
  printf "\n%s\n", hostile
}
