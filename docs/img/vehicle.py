"""Draw `vehicle.png`, the picture of the car in README (run it as a script)."""

from pathlib import Path

from PIL import Image

from palaestra.envs.vehicle.car.tables import ENVIRONMENT
from palaestra.envs.vehicle.render.picture import car_picture
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import apply_writes, parse_writes

WRITES = """
vw['environment']['sound_channel'] = "navigation"
vw['environment']['volume'] = 80
vw['door']['doors']["passenger seat"]['angle'] = 80
vw['window']['window_states']["second row left"]['open_degree'] = 10
vw['trunk']['current_open_degree_percentage'] = 20
vw['lowBeamHeadlight']['mode'] = "on"
vw['highBeamHeadlight']['high_beam_on'] = True
vw['tailLight']['is_on'] = True
"""

car = VehicleWorld()
for module in car.tables.modules:
    if module != ENVIRONMENT:
        car.apply_preset(module, "init1")
result = apply_writes(car, parse_writes(WRITES))
if not result.ok:
    raise SystemExit("\n".join(error.message for error in result.errors))
Image.fromarray(car_picture(car.state)).save(Path(__file__).with_name("vehicle.png"), optimize=True)
