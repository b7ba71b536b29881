"""How much a data set may demand of the machine: every limit of the loaders, in one place.

Each is far above what honest data need. What exceeds it is refused, or left out with a message: by its headers before
it is decoded, else as soon as it shows. So a file made to do harm, or there by mistake, costs at most

- a picture, an animation or a member of an archive: half a minute and some hundred megabytes;
- a video: 15 minutes of a processor's time to decode and some to scale, several gigabytes of memory if its frames are
  in 8K, and 4 GB of disk if it lies in a zip;
- a face model: the memory that its file takes, up to 2 GB.
"""

from __future__ import annotations

MB = 1 << 20
GB = 1 << 30

# --- files, folders and their names ---------------------------------------------------------------------------------
MAX_FILES = 250_000  # files and folders looked at in one folder, members listed in one archive; CelebA has 202,599
MAX_DEPTH = 64  # folders inside each other
MAX_NAME = 255  # characters of one file or folder, as most file systems have it; a zip can hold longer ones
MAX_CLASS = 64  # characters of a class: every row of the table of clips is as wide as the longest one

# --- archives -------------------------------------------------------------------------------------------------------
MAX_DIRECTORY_BYTES = 32 * MB  # of the list of members, which is read whole; that of CelebA takes some 20 MB
MAX_MEMBER_BYTES = 256 * MB  # of one member, unpacked, where the reader of a set names no other limit
MAX_TOTAL_BYTES = 64 * GB  # of all members read from one archive
MAX_RATIO = 200  # unpacked to packed bytes; pictures and videos hardly shrink, text shrinks to a tenth
RATIO_COUNTS_FROM = 16 * MB  # a smaller member does no harm, and a black bitmap may shrink to a thousandth
MAX_DICTIONARY_BYTES = 128 * MB  # that LZMA unpacks with; the usual 7-Zip settings need up to 64 MB

# --- pictures and videos --------------------------------------------------------------------------------------------
MIN_SIDE = 8  # pixels: what is smaller is a spacer or a tracking pixel, not a picture
MAX_PIXELS = 80_000_000  # of a picture: 320 MB once Pillow has decoded it
MAX_VIDEO_PIXELS = 36_000_000  # of one frame of a video, a little more than 8K: a decoder keeps up to 16 of them
MAX_FRAMES = 3000  # taken from one video or animation: two minutes at 25 frames a second
MAX_CLIP_PIXELS = 25 * 10**9  # in all frames of one file: as many as 3000 frames in 4K have, some minutes of decoding
# A picture file of few bytes may promise gigapixels of a single colour, at a second for every 80 million. Photographs
# have 5 to 20 pixels a byte, flat drawings some hundred, an animation with a small moving spot up to 3,000.
MAX_PIXELS_A_BYTE = 5000
MAX_MOVING_PIXELS = 10**9  # in all frames of a GIF, WebP, APNG or TIFF: some ten seconds, half a minute of the largest
FREE_PIXELS = 20_000_000  # in all frames of one file, however few bytes it has
MAX_HELD_PIXELS = 50_000_000  # of a video that is held whole, to find out what moves in it: 150 MB, twice
MAX_VIDEO_SECONDS = 900  # of a processor's time, for one video: 3000 frames in 4K (HEVC, 10 bits) took 160

# --- one file, packed in an archive or on disk ------------------------------------------------------------------------
MAX_PICTURE_BYTES = 256 * MB
MAX_VIDEO_BYTES = 4 * GB  # of a video in a zip, which has to be unpacked to a temporary file
MAX_STRIP_BYTES = 32 * MB  # the largest published strip is under 1 MB
MAX_PORTRAIT_BYTES = 16 * MB  # those of CelebA have some 10 kB
MAX_IDX_BYTES = 64 * MB  # unpacked: the largest file of MNIST, the training images, has 47 MB
MAX_SHAPE_BYTES = 16 * MB  # of one shape of a face model: the published ones have 2.6 MB
MAX_MODEL_BYTES = 2 * GB  # of a whole face model in one file: that of Basel 2009 has 250 MB

# --- the whole set --------------------------------------------------------------------------------------------------
MAX_TOTAL_FRAMES = 300_000  # of a folder: 3.7 GB once prepared
