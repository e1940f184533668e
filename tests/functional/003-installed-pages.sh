# shellcheck shell=bash
# What `make install` puts under DESTDIR: every man page, those of users' files among them, and an index that leads to each.
. "$(dirname "$0")/../lib/box.sh"
need mandoc

D=$T/root
(cd "$TOP" && DESTDIR=$D PREFIX=/usr/local BUILD=$BUILD sh mk/install.sh) >"$T/out" 2>&1 || { cat "$T/out"; die "install"; }
MAN=$D/usr/local/share/man
N=0
for p in "$TOP"/daemons/*/*.[1-9] "$TOP"/tools/*/*.[1-9] "$TOP"/man/*.[1-9]; do
	cmp -s "$p" "$MAN/man${p##*.}/${p##*/}" || die "$p is not installed"
	N=$((N + 1))
done
[ "$(find "$MAN" -type f | wc -l)" = $N ] || die "pages that are not of the tree"
# From the index as it is read to the pages.
mandoc -Tascii "$MAN/man7/vpost-guide.7" | sed 's/.\x08//g' >"$T/guide"
for p in "$MAN"/man*/*; do
	f=${p##*/}
	# A second name, of a page that is there.
	if [ -L "$p" ]; then [ -f "$p" ] || die "$p leads nowhere"; continue; fi
	[ "$f" = vpost-guide.7 ] || has "$(cat "$T/guide")" "${f%.*}(${f##*.})" "the index"
done
# The filter language: each command and condition has its place.
mandoc -Tascii "$MAN/man5/exim-filter.5" | sed 's/.\x08//g' >"$T/filter"
for w in add deliver fail finish freeze headers if elif else endif logfile logwrite mail vacation pipe save seen unseen noerror \
    testprint defer contains begins ends matches above below personal alias foranyaddress delivered error_message first_delivery \
    manually_thawed errors_to extra_headers once_repeat return reply_to; do
	grep -qw -- "$w" "$T/filter" || die "exim-filter(5) does not tell of $w"
done
has "$(cat "$D/usr/local/share/vpost/skel/README")" "vpost-guide"
has "$(cat "$MAN/man8/vpost.8")" ".Xr vpost-guide 7"
echo "$N pages"
