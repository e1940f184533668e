#!/bin/sh
# Install programs, pages and the files a new box is made of; called by `make install` with DESTDIR, PREFIX, BUILD set.
set -eu
d=$DESTDIR$PREFIX
mkdir -p "$d/bin" "$d/sbin" "$d/share/vpost/etc" "$d/share/vpost/skel" "$d/share/doc/vpost"
for p in "$BUILD"/sbin/*; do install -m 755 "$p" "$d/sbin/"; done
for p in "$BUILD"/bin/*; do
	if [ -L "$p" ]; then ln -sf "$(readlink "$p")" "$d/bin/$(basename "$p")"; else install -m 755 "$p" "$d/bin/"; fi
done
for p in daemons/*/*.[1-9] tools/*/*.[1-9] man/*.[1-9]; do
	[ -e "$p" ] || continue
	s=${p##*.}
	mkdir -p "$d/share/man/man$s"
	install -m 644 "$p" "$d/share/man/man$s/"
done
# Second names of programs have the pages of these.
for l in $(sed -n 's/^LINKS := //p' mk/links.mk); do
	for p in tools/"${l#*:}"/*.[1-9]; do
		ln -sf "$(basename "$p")" "$d/share/man/man${p##*.}/${l%:*}.${p##*.}"
	done
done
cp -R etc/. "$d/share/vpost/etc/"
cp -R skel/. "$d/share/vpost/skel/"
install -m 644 README.md ARCHITECTURE.md CHANGES LICENSE "$d/share/doc/vpost/"
# The user of root's daemons; a package makes it in a script of its own.
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ] && ! id vpost >/dev/null 2>&1; then
	if command -v useradd >/dev/null; then useradd -r -M -d /nonexistent -s /usr/sbin/nologin vpost && echo "made user vpost"
	elif command -v pw >/dev/null; then pw useradd vpost -d /nonexistent -s /usr/sbin/nologin && echo "made user vpost"
	fi
fi
