"""What a foreign runtime has to know of an exported policy beside the graph; all of it lies in the ONNX file.

The metadata are ``contract``, the artefact's ``contract.json``; ``action_path``, how actions become actuator targets;
and ``use``, how the graph is called. Every input and output carries its description.
"""

from robot.action import ActionContract, ActionPath

INPUTS = {
    "observation": "float32 (n, p): the fields of contract.observation, each flattened, one after another; quaternions "
    "wxyz with w >= 0; neither normalized nor clipped",
    "state": "float32 (2, n, width): next_state of the step before, zeros at the start of an episode",
}
OUTPUTS = {
    "action": "float32 (n, 20): unit actions in [-1, 1], the most probable ones, in the order of "
    "contract.action.actuators",
    "distribution": "float32: parameters of the distribution from which training draws the actions; with "
    "contract.action.bins > 0 logits (n, bins, 20); with 0 (n, 2, 20), m and s of normal distributions with mean "
    "tanh(m) and standard deviation contract.network.min_sigma + softplus(s)",
    "next_state": "float32 (2, n, width)",
}
USE = (
    "Call once per contract.action.period seconds: observation and state in, action and next_state out. action_path "
    "says how an action becomes actuator targets. Do not act on what is not finite."
)


def describe_action_path(contract: ActionContract) -> dict[str, object]:
    """``robot.action.ActionPath`` in words and figures, for who cannot run it; lists in the order of the actuators."""
    path = ActionPath(contract, 1)
    if contract.mode == "relative":
        start, wanted = "0", "position + stroke * smoothed"
    else:
        start = "clamp(2 * (position - lower) / (upper - lower) - 1, -1, 1)"
        wanted = "lower + (smoothed + 1) * (upper - lower) / 2"
    return {
        "unit": "rad",
        "position": "as measured; of the four J0, which drive two coupled joints, the sum of J1 and J2",
        "lower": path.lower.tolist(),
        "upper": path.upper.tolist(),
        "reach": path.reach.tolist(),
        "stroke": path.stroke.tolist(),
        "keep": contract.keep,
        "start": ["target = position", f"smoothed = {start}"],
        "step": [
            "smoothed = keep * smoothed + (1 - keep) * clamp(action, -1, 1)",
            f"target = clamp({wanted}, target - reach, target + reach)",
            "target = clamp(target, lower, upper)",
        ],
    }
