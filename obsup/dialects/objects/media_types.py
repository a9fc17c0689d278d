"""The media type of a key by its suffix: one table for every machine and every version of Python.

Source: the suffixes of the OBS SDKs with their types ("What Is Content-Type (MIME)?"); others as registered with IANA,
or in common use.
"""

from __future__ import annotations

from functools import cache

# What OBS and S3 store if a client sends no type. The client of OBS sends it for an unknown suffix.
DEFAULT = "binary/octet-stream"

# A media type per line, then its suffixes.
_TABLE = """
application/atom+xml atom
application/cu-seeme cu
application/epub+zip epub
application/font-ttf ttf
application/font-woff woff
application/geo+json geojson
application/gzip gz svgz taz tgz
application/java-archive jar
application/json json
application/jsonl jsonl
application/manifest+json webmanifest
application/mbox mbox
application/msword doc
application/ogg ogx
application/pdf pdf
application/pkix-cert cer
application/pkix-crl crl
application/postscript ai eps ps
application/rss+xml rss
application/rtf rtf
application/toml toml
application/vnd.android.package-archive apk
application/vnd.apache.parquet parquet
application/vnd.apple.mpegurl m3u8
application/vnd.google-earth.kml+xml kml
application/vnd.ms-excel xls
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint pps ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.presentationml.slide sldx
application/vnd.openxmlformats-officedocument.presentationml.slideshow ppsx
application/vnd.openxmlformats-officedocument.presentationml.template potx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.spreadsheetml.template xltx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.wordprocessingml.template dotx
application/vnd.sqlite3 sqlite
application/warc warc
application/wasm wasm
application/wsdl+xml wsdl
application/x-7z-compressed 7z
application/x-apple-diskimage dmg
application/x-bittorrent torrent
application/x-brotli br
application/x-bzip2 bz2 tbz2
application/x-compress tz z
application/x-cpio cpio
application/x-debian-package deb
application/x-dvi dvi
application/x-hdf5 h5
application/x-iso9660-image iso
application/x-latex latex
application/x-ndjson ndjson
application/x-netcdf nc
application/x-pem-file pem
application/x-pkcs12 p12 pfx
application/x-python-code pyc
application/x-rar-compressed rar
application/x-rpm rpm
application/x-sh sh
application/x-shockwave-flash swf
application/x-tar tar
application/x-tex tex
application/x-x509-ca-cert crt
application/x-xz txz xz
application/xhtml+xml xhtml
application/xml rdf xml xsd xsl
application/zip zip
application/zstd zst
audio/basic au snd
audio/flac flac
audio/midi mid midi
audio/mp4 m4a mp4a
audio/mpeg mp2 mp3
audio/ogg oga ogg
audio/opus opus
audio/x-aac aac
audio/x-aiff aif aifc aiff
audio/x-matroska mka
audio/x-mpegurl m3u
audio/x-ms-wma wma
audio/x-wav wav
font/otf otf
font/woff2 woff2
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/jp2 jp2
image/jpeg jpe jpeg jpg
image/jxl jxl
image/png png
image/svg+xml svg
image/tiff tif tiff
image/vnd.adobe.photoshop psd
image/webp webp
image/x-adobe-dng dng
image/x-cmu-raster ras
image/x-icon ico
image/x-portable-anymap pnm
image/x-portable-bitmap pbm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-xbitmap xbm
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml
text/calendar ics
text/css css
text/csv csv
text/html htm html
text/javascript js mjs
text/markdown md
text/plain asc c conf h ini log pl srt txt
text/sgml sgm sgml
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/x-python py
text/x-setext etx
text/yaml yaml yml
video/3gpp 3gp 3gpp
video/3gpp2 3g2 3gpp2
video/mp2t ts
video/mp4 m4v mp4 mp4v mpg4
video/mpeg mpe mpeg mpg
video/ogg ogv
video/quicktime mov qt
video/webm webm
video/x-flv flv
video/x-matroska mkv
video/x-ms-asf asf
video/x-ms-wmv wmv
video/x-msvideo avi
"""


def media_type_of(key: str) -> str:
    """Return the media type of the last suffix of *key*: a compressed file has that of its compression."""
    stem, dot, suffix = key.rpartition("/")[2].rpartition(".")
    return _types().get(suffix.lower(), DEFAULT) if stem and dot else DEFAULT


@cache
def _types() -> dict[str, str]:
    rows = (line.split() for line in _TABLE.splitlines())
    return {suffix: row[0] for row in rows for suffix in row[1:]}
