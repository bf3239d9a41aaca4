"""What all tests share."""

from hypothesis import HealthCheck, settings

# No example is timed: these tests run on machines that are busy with other things.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
