//! A member that is a static pod: the same verbs, with the kubelet in systemd's place.

use api::InitSystem;
use bundle::oci::{Execution, Platform};
use bundle::{Draft, ImageSpec, LayerSource};
use host::{Output, Query};

use super::upgrade::{three_of, url};
use super::*;
use crate::survey::Reach;
use crate::upgrade::Way;
use crate::{import, pod};

/// Where the kubelets of these hosts look.
const MANIFEST: &str = "/etc/kubernetes/manifests/etcdadm-etcd.json";

/// The host has a kubelet and containerd, and the store has the image of this release.
pub(super) fn with_kubelet(world: &mut World, version: &str) {
    let active = Unit {
        activity: UnitActivity::Active,
        main_pid: 7,
        ..Unit::default()
    };
    world.host.set_unit("kubelet.service", active);
    world.put("/proc/7/comm", 0o444, "kubelet\n");
    let group = "3:cpu:/\n1:name=systemd:/system.slice/kubelet.service\n";
    world.put("/proc/7/cgroup", 0o444, group);
    let line = "/opt/bin/kubelet\0--v=1\0--config=/etc/kubelet.yaml\0";
    world.put("/proc/7/cmdline", 0o444, line);
    let config = "kind: KubeletConfiguration\nstaticPodPath: /etc/kubernetes/manifests\n";
    world.put("/etc/kubelet.yaml", 0o644, config);
    world.host.make_true(import::answers());
    store_image(world, &format!("gcr.io/etcd-development/etcd:v{version}"));
}

/// The host's store has this image, and nothing else.
fn store_image(world: &mut World, reference: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (layer, layout) = (folder.path().join("layer"), folder.path().join("layout"));
    host::write_atomically(&layer, 0o644, b"programs").unwrap();
    let mut draft = Draft::new();
    let image = ImageSpec {
        reference: reference.into(),
        platform: Platform::linux("amd64"),
        config: Execution::default(),
        layers: vec![LayerSource::Tar(layer)],
    };
    draft.add_image(&image).unwrap();
    draft.write_folder(&layout, &mut |_| {}).unwrap();
    for name in ["index.json", "blobs/sha256"] {
        let path = layout.join(name);
        let files = match path.read_dir() {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => vec![path],
        };
        for file in files {
            let place = Path::new(bundle::STORE).join(file.strip_prefix(&layout).unwrap());
            world.put(place, 0o644, std::fs::read(&file).unwrap());
        }
    }
}

fn as_pod() -> EtcdConfiguration {
    EtcdConfiguration {
        init_system: InitSystem::Kubelet,
        ..EtcdConfiguration::default()
    }
}

/// etcd runs as what the kubelet was handed.
fn running(world: &mut World) {
    let text = world.host.read_text(Path::new(MANIFEST)).unwrap().unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let variables = manifest["spec"]["containers"][0]["env"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let environ: Vec<String> = variables
        .iter()
        .map(|variable| format!("{}={}", text(&variable["name"]), text(&variable["value"])))
        .collect();
    world.put("/proc/42/comm", 0o444, "etcd\n");
    let group = "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n";
    world.put("/proc/42/cgroup", 0o444, group);
    world.put("/proc/42/environ", 0o444, environ.join("\0"));
}

#[test]
fn init_hands_the_kubelet_a_pod_and_reset_takes_it_back() {
    let mut world = World::new();
    with_kubelet(&mut world, "3.7.3");
    let configuration = world.configure(as_pod());
    let words = world.init(&configuration).unwrap();
    let lines = words.lines().filter(|line| !line.contains("certificates"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: make folder /opt/bin (0755)
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    import-image: import gcr.io/etcd-development/etcd:v3.7.3
    write-configuration: make folder /var/lib/etcd (0700)
    write-configuration: write /etc/etcd/etcd.env (0600)
    write-configuration: write /etc/etcd/etcd-pod.json (0600)
    write-etcdctl: write /etc/etcd/etcdctl.env (0600)
    write-etcdctl: write /opt/bin/etcdctl.sh (0755)
    start-member: start etcd's pod and wait until it is ready
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    ");
    running(&mut world);
    assert_eq!(world.init(&configuration).unwrap(), "");
    assert_eq!(world.host.stat(Path::new(paths::UNIT_FILE)).unwrap(), None);
    let mode = world.host.stat(Path::new(MANIFEST)).unwrap().unwrap().mode;
    assert_eq!(mode, 0o600);

    // Other variables than those that are to be: one more start, of another pod.
    world.put(
        "/proc/42/environ",
        0o444,
        "ETCD_NAME=h1\0ETCD_DATA_DIR=/var/lib/etcd",
    );
    insta::assert_snapshot!(world.init(&configuration).unwrap(), @"start-member: restart etcd's pod and wait until it is ready");

    running(&mut world);
    let phases = crate::reset::phases(&configuration, Vec::new(), false);
    let words = world.walk(&phases).unwrap();
    let lines = words
        .lines()
        .filter(|line| !line.contains("/pki/") && !line.contains("/opt/"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
    stop-member: take etcd's pod from the kubelet and wait until it has ended
    set-data-aside: remove /var/lib/etcd
    remove-files: remove /etc/etcd/etcd-pod.json
    remove-files: remove /etc/etcd/etcd.env
    remove-files: remove /etc/etcd/etcdctl.env
    remove-files: remove /opt
    remove-files: remove /var/lib/etcdadm/etcd.receipt.json
    remove-files: remove /var/lib/etcdadm/member.json
    ");
    assert_eq!(world.host.stat(Path::new(MANIFEST)).unwrap(), None);
    assert_eq!(world.reset(&configuration).unwrap(), "");
}

#[test]
fn the_pod() {
    let mut world = World::new();
    with_kubelet(&mut world, "3.7.3");
    let document = EtcdConfiguration {
        data_dir: "/srv/a b+$(HOME)".into(),
        ..as_pod()
    };
    let configuration = world.configure(document);
    world.init(&configuration).unwrap();
    let text = world.host.read_text(Path::new(MANIFEST)).unwrap().unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let env = manifest["spec"]["containers"][0]["env"].take();
    let data_dir = env
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == "ETCD_DATA_DIR");
    assert_eq!(data_dir.unwrap()["value"], "/srv/a b+$$(HOME)");
    assert!(manifest["metadata"]["annotations"]["klusterkit.dev/started"].is_string());
    let text = world
        .host
        .read_text(Path::new(paths::POD))
        .unwrap()
        .unwrap();
    insta::assert_snapshot!(text, @r#"
    {
      "apiVersion": "v1",
      "kind": "Pod",
      "metadata": {
        "name": "etcd",
        "namespace": "kube-system",
        "labels": {
          "app.kubernetes.io/name": "etcd",
          "app.kubernetes.io/managed-by": "etcdadm"
        },
        "annotations": {
          "klusterkit.dev/static-pods": "/etc/kubernetes/manifests"
        }
      },
      "spec": {
        "hostNetwork": true,
        "dnsPolicy": "Default",
        "enableServiceLinks": false,
        "automountServiceAccountToken": false,
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 90,
        "securityContext": {
          "runAsUser": 0,
          "runAsGroup": 0,
          "seccompProfile": {
            "type": "RuntimeDefault"
          }
        },
        "containers": [
          {
            "name": "etcd",
            "image": "gcr.io/etcd-development/etcd:v3.7.3",
            "imagePullPolicy": "Never",
            "command": [
              "etcd"
            ],
            "resources": {
              "requests": {
                "cpu": "100m",
                "memory": "100Mi"
              }
            },
            "securityContext": {
              "privileged": false,
              "allowPrivilegeEscalation": false,
              "readOnlyRootFilesystem": true,
              "capabilities": {
                "drop": [
                  "ALL"
                ]
              }
            },
            "volumeMounts": [
              {
                "name": "data",
                "mountPath": "/srv/a b+$(HOME)"
              },
              {
                "name": "certs",
                "mountPath": "/etc/etcd/pki",
                "readOnly": true
              }
            ]
          }
        ],
        "volumes": [
          {
            "name": "data",
            "hostPath": {
              "path": "/srv/a b+$(HOME)",
              "type": "Directory"
            }
          },
          {
            "name": "certs",
            "hostPath": {
              "path": "/etc/etcd/pki",
              "type": "Directory"
            }
          }
        ]
      }
    }
    "#);
}

#[test]
fn a_pod_is_the_same_whenever_it_was_started() {
    let mut world = World::new();
    with_kubelet(&mut world, "3.7.3");
    let configuration = world.configure(as_pod());
    world.init(&configuration).unwrap();
    let at = |world: &World, time| pod::manifest(&world.host, time).unwrap();
    let (one, other) = (at(&world, "1"), at(&world, "2"));
    assert!(one != other && pod::same(&one, &other));
    world.put(paths::ENVIRONMENT, 0o600, "ETCD_NAME=other\n");
    assert!(!pod::same(&one, &at(&world, "1")));
}

#[test]
fn what_the_host_lacks_for_a_pod_is_told_before_anything_is_changed() {
    let mut world = World::new();
    let configuration = world.configure(as_pod());
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"
    phase check-host stopped before it changed anything more: kubelet: kubelet.service does not run, which is to run the member
    container-runtime: containerd does not answer, which is to have the member's image
    ");
    with_kubelet(&mut world, "3.7.3");
    world.put("/etc/kubelet.yaml", 0o644, "kind: KubeletConfiguration\n");
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase check-host stopped before it changed anything more: kubelet: the kubelet has no folder of static pods: /etc/kubelet.yaml does not name one");
    with_kubelet(&mut world, "3.6.16");
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase import-image stopped before it changed anything more: the image gcr.io/etcd-development/etcd:v3.7.3 for amd64 is neither in containerd nor in /var/cache/klusterkit");
}

#[test]
fn a_member_stays_with_what_runs_it() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    with_kubelet(&mut world, "3.7.3");
    let configuration = world.configure(as_pod());
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase check-host stopped before it changed anything more: init-system: this host's member was set up to be run by systemd, not by kubelet");
}

#[test]
fn the_kubelet_s_folder_is_the_one_that_it_reads() {
    let place = |world: &World| pod::place(&world.host).unwrap();
    let mut world = World::new();
    assert_eq!(place(&world), Path::new(MANIFEST));
    let named = "staticPodPath: pods\n";
    world.put("/var/lib/kubelet/config.yaml", 0o644, named);
    let beside = Path::new("/var/lib/kubelet/pods/etcdadm-etcd.json");
    assert_eq!(place(&world), beside);
    with_kubelet(&mut world, "3.7.3");
    assert_eq!(place(&world), Path::new(MANIFEST));
    let line = "kubelet\0--config\0/var/lib/kubelet/config.yaml\0";
    world.put("/proc/7/cmdline", 0o444, line);
    assert_eq!(place(&world), beside);
    world.put(
        "/proc/7/cmdline",
        0o444,
        "kubelet\0--pod-manifest-path=/srv/pods\0",
    );
    assert_eq!(place(&world), Path::new("/srv/pods/etcdadm-etcd.json"));
    // The folder that it had, while it does not run.
    let configuration = world.configure(as_pod());
    world.init(&configuration).unwrap();
    world.put("/proc/7/comm", 0o444, "");
    assert_eq!(place(&world), Path::new("/srv/pods/etcdadm-etcd.json"));
    // Nobody else's.
    with_kubelet(&mut world, "3.7.3");
    world.put("/proc/7/cgroup", 0o444, "0::/kubepods.slice/a/b\n");
    assert_eq!(place(&world), Path::new("/srv/pods/etcdadm-etcd.json"));
}

#[test]
fn an_upgrade_has_its_image_before_anything_is_stopped() {
    let mut world = three_of("3.6.16", &|world, document| {
        with_kubelet(world, "3.6.16");
        document.init_system = InitSystem::Kubelet;
    });
    running(&mut world);
    let mut document = Record::read(&world.host).unwrap().unwrap().configuration;
    document.version = Some("v3.7.3".parse().unwrap());
    let configuration = world.configure(document);
    let reach = Reach {
        configuration: &configuration,
        endpoints: vec![url(2)],
    };
    let phases = || crate::upgrade::phases(&reach, false, Way::Up);
    let error = world.walk(&phases()).unwrap_err();
    insta::assert_snapshot!(error, @"phase import-image stopped before it changed anything more: the image gcr.io/etcd-development/etcd:v3.7.3 for amd64 is neither in containerd nor in /var/cache/klusterkit");
    store_image(&mut world, "gcr.io/etcd-development/etcd:v3.7.3");
    insta::assert_snapshot!(world.walk(&phases()).unwrap(), @"
    save-snapshot: take a snapshot of h2 into /var/lib/etcdadm/before-v3.7.3.capsule
    import-image: import gcr.io/etcd-development/etcd:v3.7.3
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: run cp -p -- /opt/bin/etcd /opt/bin/etcd.v3.6.16
    install-binaries: run cp -p -- /opt/bin/etcdctl /opt/bin/etcdctl.v3.6.16
    install-binaries: run cp -p -- /opt/bin/etcdutl /opt/bin/etcdutl.v3.6.16
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    write-configuration: write /etc/etcd/etcd-pod.json (0600)
    upgrade-member: hand leadership to h2 (0000000000000002)
    upgrade-member: restart etcd's pod and wait until it is ready
    ");
}

#[test]
fn of_a_log_what_etcd_said_is_read() {
    let mut world = World::new();
    let folder = "/var/log/pods/kube-system_etcd-h1_0a1b";
    let line = |text: &str| format!("2026-11-24T00:00:00.0Z stderr F {text}\n");
    world.put(format!("{folder}/etcd/0.log"), 0o640, line("old"));
    world.put(
        format!("{folder}/etcd/1.log"),
        0o640,
        line("one two") + &line("member count is unequal"),
    );
    world.put("/var/log/pods/kube-system_etcdx-h1_1/etcd/0.log", 0o640, "");
    let logs = pod::logs(&world.host).unwrap();
    assert_eq!(logs, [Path::new(folder)]);
    let last = pod::last_log(&world.host, &logs[0]).unwrap();
    assert_eq!(last, (1, "one two\nmember count is unequal".to_owned()));
}

#[test]
fn of_the_kubelet_what_it_says_of_this_pod_is_told() {
    let mut world = World::new();
    let words = [
        "--no-pager",
        "--quiet",
        "--output=cat",
        "--lines=300",
        "--unit=kubelet.service",
    ];
    let text = "I1124 kube-system/etcd-h1\nE1124 \"Error syncing pod\" pod=\"kube-system/etcd-h1\"\nE1124 pod=\"kube-system/other\"\n";
    let output = Output {
        code: Some(0),
        stdout: text.into(),
        stderr: String::new(),
    };
    world.host.answer(Query::new("journalctl", words), output);
    insta::assert_snapshot!(pod::complaints(&world.host), @r#"E1124 "Error syncing pod" pod="kube-system/etcd-h1""#);
}
