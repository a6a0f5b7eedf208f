"""The body: drivers, the ZeroMQ bridge, the control loop, safety, flight log, replay and the virtual rig."""
