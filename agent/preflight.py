"""Are the fields in the bucket of the types that are about to be written? Asked before it costs.

InfluxDB fixes the type of a field per measurement and shard: where "mid" is an integer, a point
with a float "mid" is dropped whole. So the newest value of each field tells the type for all.
https://docs.influxdata.com/influxdb/v2/write-data/troubleshoot/#field-type-conflicts
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agent import schema
from agent.errors import InfluxDBError
from agent.influx_api import InfluxApi
from agent.queries.recipe import literal_of

LOOK_BACK: Final = "-7d"
"""As far as the shard that is written now can reach back."""
FIELDS_MAX: Final = 10_000
"""Fields of other programs in our measurements may make the answer longer."""
_TYPES: Final = {"long": "integer", "unsignedLong": "unsigned", "double": "float"}
"""InfluxDB's names of types in a query's answer, as they are called where points are written."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that the bucket has as another type than it is written with."""

    measurement: str
    field: str
    declared: str
    existing: str

    def __str__(self) -> str:
        where = f"{self.measurement}.{self.field}"
        return f"{where} is {self.existing} in the bucket, {self.declared} here"


async def conflicts(api: InfluxApi, org: str, bucket: str) -> list[Conflict]:
    """The fields whose newest values of the last days are of another type; [] = all is well.

    Raises:
        InfluxDBError: there is no answer, or the token may not read.
    """
    declared = _declared()
    found: list[Conflict] = []
    fields = 0
    async for row in api.rows(org, flux(bucket)):
        fields += 1
        if fields > FIELDS_MAX:
            raise InfluxDBError("check field types", f"{bucket} has over {FIELDS_MAX} fields")
        types = {column.name: column.datatype for column in row.columns}
        cells = row.as_dict()
        place = cells["_measurement"] or "", cells["_field"] or ""
        existing = _TYPES.get(types["_value"], types["_value"])
        if existing != declared.get(place, existing):
            found.append(Conflict(*place, declared[place], existing))
    return found


def flux(bucket: str) -> str:
    """Asks for the newest value of each field; in this form InfluxDB answers from its indexes."""
    ours = " or ".join(f'r._measurement == "{name}"' for name in schema.MEASUREMENTS)
    return (
        f"from(bucket: {literal_of('text', bucket)})\n"
        f"  |> range(start: {LOOK_BACK})\n"
        f"  |> filter(fn: (r) => {ours})\n"
        '  |> group(columns: ["_measurement", "_field"])\n'
        "  |> last()\n"
        '  |> keep(columns: ["_measurement", "_field", "_value"])\n'
    )


def _declared() -> dict[tuple[str, str], str]:
    return {
        (name, field.name): "string" if field.unit == "text" else "float"
        for name, measurement in schema.MEASUREMENTS.items()
        for field in measurement.fields
    }
