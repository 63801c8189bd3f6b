"""A small codec for the protobuf messages of BuildKit; see :class:`Message`.

It exists because vertex digests hash the bytes that Go writes, and other implementations write
fields in a different order.
"""

from tarkit.llb.wire.base import Message as Message
from tarkit.llb.wire.fields import mapping as mapping
from tarkit.llb.wire.fields import message as message
from tarkit.llb.wire.fields import repeated as repeated
from tarkit.llb.wire.kinds import boolean as boolean
from tarkit.llb.wire.kinds import enum as enum
from tarkit.llb.wire.kinds import enum_kind as enum_kind
from tarkit.llb.wire.kinds import int32 as int32
from tarkit.llb.wire.kinds import int64 as int64
from tarkit.llb.wire.kinds import raw_bytes as raw_bytes
from tarkit.llb.wire.kinds import string as string
from tarkit.llb.wire.kinds import uint32 as uint32
from tarkit.llb.wire.kinds import uint64 as uint64
from tarkit.llb.wire.protojson import to_json as to_json
