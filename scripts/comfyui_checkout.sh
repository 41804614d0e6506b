#!/usr/bin/env bash
# Get a ComfyUI and an Impact Pack for the tests that compare with them, and print the variables that these tests read:
#
#     scripts/comfyui_checkout.sh FOLDER [COMFYUI_REF [IMPACT_REF]] > variables
#     export $(cat variables) && pytest tests/comfyui tests/nodes
#
# A ref is a branch, a tag or a commit; IMPACT_REF may be "none". Requirements are installed for the `python` on PATH. An
# existing checkout is brought to the ref. COMFYUI_URL and IMPACT_PACK_URL name other repositories, for example mirrors.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

mkdir -p "$1"
folder=$(cd "$1" && pwd)
comfyui_url=${COMFYUI_URL:-https://github.com/comfyanonymous/ComfyUI}
impact_url=${IMPACT_PACK_URL:-https://github.com/ltdrdata/ComfyUI-Impact-Pack}

# checkout URL REF PLACE
checkout() {
  local commit
  [ -d "$3/.git" ] || git init --quiet "$3"
  if git -C "$3" fetch --quiet --depth 1 "$1" "$2" 2>/dev/null; then
    commit=FETCH_HEAD
  else
    # Not every server hands out any commit by itself: it comes with all the rest.
    git -C "$3" fetch --quiet --tags "$1" '+refs/heads/*:refs/remotes/origin/*'
    commit=$(git -C "$3" rev-parse --verify "$2^{commit}")
  fi
  git -C "$3" checkout --quiet --detach "$commit"
  echo "$3: $(git -C "$3" log -1 --format='%h of %cs')" >&2
}

checkout "$comfyui_url" "${2:-master}" "$folder/ComfyUI"
python -m pip install --quiet -r "$folder/ComfyUI/requirements.txt" >&2
echo "COMFYUI_PATH=$folder/ComfyUI"
if [ "${3:-Main}" != none ]; then
  checkout "$impact_url" "${3:-Main}" "$folder/ComfyUI-Impact-Pack"
  python -m pip install --quiet -r "$folder/ComfyUI-Impact-Pack/requirements.txt" >&2
  echo "IMPACT_PACK_PATH=$folder/ComfyUI-Impact-Pack"
fi
